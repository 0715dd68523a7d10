//! The one table of the keys that a cluster file may have.

use super::shape::{
    ADDRESS, CLUSTER, COMMAND_LINE, COMPONENT, GIT, JUMP, Key, Keys, PACKAGE, PATH, ROOM, SHA256,
    Shape, URL, USER, VARIABLE,
};

pub(super) const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        about,
        shape,
        required: false,
    }
}

pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        about,
        shape,
        required: true,
    }
}

pub(super) const fn keys(what: &'static str, keys: &'static [Key]) -> Keys {
    Keys {
        what,
        keys,
        exactly_one: &[],
        together: &[],
        refused: &[],
        has_extensions: false,
        no_text: None,
    }
}

/// The whole file.
pub(super) const FILE: Keys = Keys {
    has_extensions: true,
    ..keys(
        "the cluster file",
        &[
            optional(
                "name",
                Shape::Text(&CLUSTER),
                "The cluster's name in outputs and for its state folder; the file's name without \
             its ending unless set.",
            ),
            optional(
                "nats",
                Shape::Text(&ADDRESS),
                "The address of NATS, which every component is told; one of the nats component's.",
            ),
            optional(
                "uaa",
                Shape::Text(&ADDRESS),
                "The address of the UAA, which issues tokens; one of the uaa component's.",
            ),
            optional(
                "cc",
                Shape::Text(&ADDRESS),
                "The address of the cloud controller; one of the cloud_controller_ng component's.",
            ),
            required(
                "components",
                Shape::List(&Shape::Text(&COMPONENT)),
                "Every component once, in the order in which they are deployed.",
            ),
            required(
                "server",
                Shape::Components(&Shape::Map(&SERVER)),
                "Where each component runs, and how.",
            ),
            optional("ssh", Shape::Map(&SSH), "How to log in to every host."),
            optional(
                "sudo",
                Shape::Any(&[Shape::Bool, Shape::Map(&SUDO)]),
                "How commands get root's rights: true (the default) for sudo without a password, \
             false when the login user is root, or a mapping for sudo with a password.",
            ),
            optional(
                "release",
                Shape::Map(&RELEASE),
                "What is unpacked on each host before a component can start.",
            ),
            optional(
                "packages",
                Shape::Items(&Shape::Text(&PACKAGE)),
                "Debian packages that bootstrap installs on every host.",
            ),
            optional(
                "vars",
                Shape::Vars,
                "Values for the templates of all components.",
            ),
            optional(
                "max_in_flight",
                Shape::Count { min: 1 },
                "How many hosts of a component may be worked on at once; all under --forks unless \
             set.",
            ),
            optional(
                "canaries",
                Shape::Count { min: 0 },
                "How many hosts of a component are done alone and first; 0 unless set.",
            ),
            optional(
                "max_failures",
                Shape::Count { min: 0 },
                "How many failed hosts of a component are borne before no further one is started; \
             every host is tried unless set.",
            ),
            optional(
                "min_up",
                Shape::Count { min: 0 },
                "How many instances of a component stay up while others are restarted or deployed \
             anew; one unless set, where there are several.",
            ),
            optional(
                "jobs_dir",
                Shape::Text(&PATH),
                "The folder of the site's own jobs, each a folder with a job.yml.",
            ),
            optional(
                "site_packages",
                Shape::Text(&PATH),
                "The folder of the site's own Debian packages with their index, which a firstbox serves \
             to the other machines.",
            ),
            optional(
                "global_ks",
                Shape::Map(&GLOBAL_KS),
                "How the global control plane stays alive across data centres.",
            ),
        ],
    )
};

/// `global_ks`.
pub(super) const GLOBAL_KS: Keys = keys(
    "`global_ks`",
    &[
        required(
            "scheme",
            Shape::Choice(&[
                "three-rooms",
                "two-rooms-arbiter",
                "two-rooms",
                "two-rooms-converged",
                "two-rooms-no-region",
            ]),
            "The deployment scheme; `explain scheme` says what each survives and needs.",
        ),
        required(
            "rooms",
            Shape::List(&Shape::Map(&KS_ROOM)),
            "The rooms (data centres) that carry it; the first is the main one to begin with.",
        ),
        optional(
            "arbiter",
            Shape::Text(&ADDRESS),
            "The host apart from both rooms that gives ZooKeeper its majority; for \
             two-rooms-arbiter.",
        ),
        optional(
            "recovery_pg",
            Shape::Bool,
            "Whether there is a recovery database, for the disaster recovery of users' \
             resources; false unless set.",
        ),
    ],
);

/// An entry of `global_ks.rooms`.
pub(super) const KS_ROOM: Keys = keys(
    "a room",
    &[
        required(
            "name",
            Shape::Text(&ROOM),
            "The room's name, as operations name it: global1a.",
        ),
        required(
            "hosts",
            Shape::List(&Shape::Text(&ADDRESS)),
            "The machines that stand in it.",
        ),
        optional(
            "zone",
            Shape::Text(&ROOM),
            "The availability zone in the same data centre, which a disaster takes with it.",
        ),
        optional(
            "vip",
            Shape::Text(&ADDRESS),
            "An address that moves between the room's proxies, by keepalived.",
        ),
    ],
);

/// A value of `server`.
pub(super) const SERVER: Keys = Keys {
    refused: &[(
        "template",
        "a job brings its own templates, so there is nothing to choose: leave the line out; your \
         own template becomes a job in `jobs_dir`",
    )],
    ..keys(
        "a component",
        &[
            required(
                "ip",
                Shape::Any(&[
                    Shape::Text(&ADDRESS),
                    Shape::List(&Shape::Any(&[Shape::Text(&ADDRESS), Shape::Map(&HOST)])),
                ]),
                "The address of the component's host, or a list of them.",
            ),
            optional(
                "jobs",
                Shape::List(&Shape::Text(&COMPONENT)),
                "The jobs that run on each of its hosts, in this order; the job of the \
                 component's own name unless set.",
            ),
            optional(
                "ssh",
                Shape::Map(&SSH),
                "How to log in to this component's hosts; wins over the file's `ssh`, key by key.",
            ),
            optional(
                "packages",
                Shape::Items(&Shape::Text(&PACKAGE)),
                "Debian packages for this component's hosts, besides those for all.",
            ),
            optional(
                "vars",
                Shape::Vars,
                "Values for this component's templates; they win over the file's `vars`.",
            ),
            optional(
                "max_in_flight",
                Shape::Count { min: 1 },
                "As the file's `max_in_flight`, for this component.",
            ),
            optional(
                "canaries",
                Shape::Count { min: 0 },
                "As the file's `canaries`, for this component.",
            ),
            optional(
                "max_failures",
                Shape::Count { min: 0 },
                "As the file's `max_failures`, for this component.",
            ),
            optional(
                "min_up",
                Shape::Count { min: 0 },
                "As the file's `min_up`, for this component.",
            ),
        ],
    )
};

/// An entry of `ip` that says more than the address.
pub(super) const HOST: Keys = keys(
    "a host",
    &[
        required("ip", Shape::Text(&ADDRESS), "The host's address."),
        optional(
            "index",
            Shape::Count { min: 0 },
            "The number of this instance among its component's; its position, from 0, unless set.",
        ),
        optional(
            "ssh",
            Shape::Map(&SSH),
            "How to log in to this host; wins over the component's `ssh`, key by key.",
        ),
        optional(
            "vars",
            Shape::Vars,
            "Values for the templates on this host; they win over the component's `vars`.",
        ),
    ],
);

/// `ssh`.
pub(super) const SSH: Keys = keys(
    "`ssh`",
    &[
        optional(
            "user",
            Shape::Text(&USER),
            "The login user; paas unless set.",
        ),
        optional("port", Shape::Port, "The port of sshd; 22 unless set."),
        optional(
            "identity",
            Shape::Text(&PATH),
            "The private key, or a public one that chooses a key of the agent's; the agent and the \
             files of OpenSSH's configuration or in ~/.ssh are tried unless set.",
        ),
        optional(
            "password",
            Shape::Map(&PASSWORD),
            "Where the login password comes from, if one is used.",
        ),
        optional(
            "jump",
            Shape::Any(&[Shape::Text(&JUMP), Shape::List(&Shape::Text(&JUMP))]),
            "The host or hosts to go through, outermost first: [user@]host[:port].",
        ),
        optional(
            "known_hosts",
            Shape::Text(&PATH),
            "The file of known host keys; ~/.ssh/known_hosts unless set.",
        ),
        optional(
            "host_keys",
            Shape::Choice(&["accept-new", "strict", "off"]),
            "What to do about a host key: accept-new (the default) notes an unknown one and \
             stops at a changed one, strict takes only known ones, off doesn't look.",
        ),
        optional(
            "config",
            Shape::Any(&[Shape::Bool, Shape::Text(&PATH)]),
            "Whether OpenSSH's configuration fills in what isn't set here: true (the default), false, \
             or another file than the usual ones.",
        ),
    ],
);

/// Where a password comes from.
pub(super) const PASSWORD: Keys = Keys {
    exactly_one: &["env", "file", "command", "ask"],
    no_text: Some(
        "a password in this file would be read by everybody who reads the file: write \
         `password: {env: NAME}` or `password: {file: PATH}`",
    ),
    ..keys(
        "`password`",
        &[
            optional(
                "env",
                Shape::Text(&VARIABLE),
                "The environment variable that holds the password.",
            ),
            optional(
                "file",
                Shape::Text(&PATH),
                "A file that only its owner can read; its first line is the password.",
            ),
            optional(
                "command",
                Shape::Text(&COMMAND_LINE),
                "A command of this machine's shell; the first line that it prints is the password.",
            ),
            optional(
                "ask",
                Shape::Bool,
                "true: asks the operator on the terminal, once for all hosts.",
            ),
        ],
    )
};

/// `sudo` as a mapping.
pub(super) const SUDO: Keys = keys(
    "`sudo`",
    &[
        required(
            "password",
            Shape::Map(&PASSWORD),
            "Where the password for sudo comes from.",
        ),
        optional(
            "keep",
            Shape::Bool,
            "Whether bootstrap sets up sudo without a password for later runs; false unless set.",
        ),
    ],
);

/// `release`.
pub(super) const RELEASE: Keys = keys(
    "`release`",
    &[
        optional(
            "micro_paas",
            Shape::Map(&MICRO_PAAS),
            "The compiled dependencies, unpacked into the login user's home.",
        ),
        required(
            "paas_release",
            Shape::Map(&PAAS_RELEASE),
            "The release itself, unpacked or cloned to paas-release.git in the login user's home.",
        ),
    ],
);

const ARTIFACT_PATH: Key = optional(
    "path",
    Shape::Text(&PATH),
    "A .tar.gz file or a folder on this machine; it is pushed to the hosts.",
);
const ARTIFACT_URL: Key = optional(
    "url",
    Shape::Text(&URL),
    "A .tar.gz that each host fetches by itself; needs `sha256`.",
);
const ARTIFACT_SHA256: Key = optional(
    "sha256",
    Shape::Text(&SHA256),
    "The SHA-256 that the archive must have.",
);

/// `release.micro_paas`.
pub(super) const MICRO_PAAS: Keys = Keys {
    exactly_one: &["path", "url"],
    together: &[("url", "sha256")],
    ..keys(
        "`micro_paas`",
        &[ARTIFACT_PATH, ARTIFACT_URL, ARTIFACT_SHA256],
    )
};

/// `release.paas_release`.
pub(super) const PAAS_RELEASE: Keys = Keys {
    exactly_one: &["path", "git", "url"],
    together: &[("url", "sha256"), ("git", "ref"), ("ref", "git")],
    ..keys(
        "`paas_release`",
        &[
            ARTIFACT_PATH,
            optional(
                "git",
                Shape::Text(&GIT),
                "A git repository that each host clones by itself; needs `ref`.",
            ),
            ARTIFACT_URL,
            optional(
                "ref",
                Shape::Text(&GIT),
                "The branch, tag or commit to check out.",
            ),
            ARTIFACT_SHA256,
        ],
    )
};
