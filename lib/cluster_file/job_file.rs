//! `job.yml`, which says what a site's job is: read as strictly as the cluster file, by the same code.

use serde_json::Value as Data;

use super::check;
use super::file::At;
use super::keys::{keys, optional, required};
use super::read::{at, data, flag, number, text, texts};
use super::shape::{COMPONENT, Keys, Shape, TextRule, VARIABLE};
use super::tree::{self, Node};
use super::{Problem, sort_problems, syntax};

/// What `job.yml` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFile {
    /// Jobs that must be in the cluster, and what for.
    pub needs: Vec<(At<String>, String)>,
    /// TCP ports by name.
    pub provides: Vec<(String, u16)>,
    /// Whether it can't be built without a release.
    pub needs_release: bool,
    /// The script's values, in the file's order.
    pub values: Vec<(At<String>, ValueSource)>,
    /// Components of the release, in the order of starting.
    pub services: Vec<At<String>>,
    /// systemd units, in the order of starting.
    pub units: Vec<At<String>>,
    /// Questions that a healthy service answers.
    pub health: Vec<CheckEntry>,
    /// How long a start may take, in seconds.
    pub health_timeout: Option<u32>,
    /// Files whose end is shown when it doesn't come up.
    pub logs: Vec<At<String>>,
    /// A command that exits with 0 on the instance that leads.
    pub leader: Option<At<String>>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueSource {
    /// The value itself.
    Value(Data),
    /// The address of the first host that runs this job.
    AddressOf(At<String>),
    /// The host's own address.
    OwnAddress,
    /// The instance's number.
    Index,
    /// A secret: `vars.<name>` says where it is, or it's made once.
    Secret(String),
    /// A variable of the cluster file; `default` is taken where it isn't set.
    Var {
        /// The variable's name.
        name: String,
        /// What is taken where it isn't set.
        default: Option<Data>,
    },
}

/// An entry of `health`.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckEntry {
    /// Something listens on this TCP port.
    Tcp(u16),
    /// `GET path` on this port answers with a 2xx status.
    Http {
        /// The port.
        port: u16,
        /// The path.
        path: String,
    },
    /// A shell command exits with 0.
    Command(At<String>),
}

impl JobFile {
    /// Reads the text of a `job.yml`.
    ///
    /// # Errors
    /// Everything that is wrong with its shape, in the order of the file.
    pub fn parse(text: &str) -> Result<JobFile, Vec<Problem>> {
        if syntax::is_without_content(text) {
            return Ok(JobFile::default());
        }
        if let Some(problem) = syntax::check_text(text) {
            return Err(vec![problem]);
        }
        let root = tree::parse(text).map_err(|error| vec![syntax::from_yaml(text, &error)])?;
        let mut problems = check::check(&root, &JOB);
        refuse_false(&root, &mut problems);
        sort_problems(&mut problems);
        match problems.is_empty() {
            true => Ok(read(&root)),
            false => Err(problems),
        }
    }
}

/// `own_address: false` would be a value without a source.
fn refuse_false(root: &Node, problems: &mut Vec<Problem>) {
    let values = root.get("values").map(Node::pairs).unwrap_or_default();
    for (_, value) in values {
        for (key, node) in value.pairs() {
            let is_flag = matches!(key.text(), Some("own_address" | "index"));
            if is_flag && matches!(node.value, tree::Value::Bool(false)) {
                let name = key.text().unwrap_or_default();
                let message = format!("`{name}` can't be `false`: a value has a source");
                problems.push(Problem::new(node.place, node.len, message).expected("`true`"));
            }
        }
    }
}

fn read(root: &Node) -> JobFile {
    let items = |key: &str| root.get(key).map(Node::items).unwrap_or_default().iter();
    let values = root.get("values").map(Node::pairs).unwrap_or_default();
    JobFile {
        needs: items("needs")
            .filter_map(|need| Some((text(need, "job")?, text(need, "why")?.value)))
            .collect(),
        provides: items("provides")
            .filter_map(|port| Some((text(port, "name")?.value, number(port, "port")?.value)))
            .collect(),
        needs_release: flag(root, "needs_release").is_some_and(|at| at.value),
        values: values
            .iter()
            .filter_map(|(name, value)| Some((at(name, name.text()?.to_owned()), source(value)?)))
            .collect(),
        services: texts(root, "services"),
        units: texts(root, "units"),
        health: items("health").filter_map(question).collect(),
        health_timeout: number(root, "health_timeout").map(|at| at.value),
        logs: texts(root, "logs"),
        leader: text(root, "leader"),
    }
}

fn source(node: &Node) -> Option<ValueSource> {
    let (key, value) = node
        .pairs()
        .iter()
        .find(|(key, _)| key.text() != Some("default"))?;
    Some(match key.text()? {
        "value" => ValueSource::Value(data(value)),
        "address_of" => ValueSource::AddressOf(at(value, value.text()?.to_owned())),
        "own_address" => ValueSource::OwnAddress,
        "index" => ValueSource::Index,
        "secret" => ValueSource::Secret(value.text()?.to_owned()),
        _ => ValueSource::Var {
            name: value.text()?.to_owned(),
            default: node.get("default").map(data),
        },
    })
}

fn question(node: &Node) -> Option<CheckEntry> {
    if let Some(port) = number(node, "tcp") {
        return Some(CheckEntry::Tcp(port.value));
    }
    if let Some(http) = node.get("http") {
        return Some(CheckEntry::Http {
            port: number(http, "port")?.value,
            path: text(http, "path")?.value,
        });
    }
    text(node, "command").map(CheckEntry::Command)
}

/// A sentence for people.
const WORDS: TextRule = TextRule {
    expected: "a text of one line",
    pattern: Some("^[^\\n\\r]*[^\\s][^\\n\\r]*$"),
    holds: |s| !s.trim().is_empty() && !s.contains(['\n', '\r']),
};

/// Shell that runs on a host.
const SHELL: TextRule = TextRule {
    expected: "a command line for the shell of the host",
    pattern: None,
    holds: |s| !s.trim().is_empty() && !s.contains('\0'),
};

/// A systemd unit: what systemd takes, without patterns, and nothing that looks like an option.
const UNIT: TextRule = TextRule {
    expected: "a systemd unit: letters, digits, `:`, `_`, `.`, `@`, `-` and `\\`, no `-` first",
    pattern: None,
    holds: |s| {
        !s.is_empty()
            && !s.starts_with('-')
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || ":_.@-\\".contains(c))
    },
};

/// A component of the release, which is asked by its name.
const SERVICE: TextRule = TextRule {
    expected: "a component of the release: letters, digits, `_`, `.` and `-`, no `-` first",
    pattern: None,
    holds: |s| {
        !s.is_empty()
            && !s.starts_with('-')
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    },
};

/// A path on a host.
const HOST_PATH: TextRule = TextRule {
    expected: "a path on the host, absolute or relative to the login user's home",
    pattern: None,
    holds: |s| !s.is_empty() && !s.starts_with('~') && !s.chars().any(char::is_control),
};

/// The path of a URL.
const URL_PATH: TextRule = TextRule {
    expected: "a path that begins with / and has neither spaces nor other than ASCII characters",
    pattern: None,
    holds: |s| s.starts_with('/') && s.chars().all(|c| c.is_ascii_graphic()),
};

/// The whole file.
const JOB: Keys = keys(
    "job.yml",
    &[
        optional(
            "needs",
            Shape::Items(&Shape::Map(&NEED)),
            "Jobs that must be in the cluster, and earlier in `components`.",
        ),
        optional(
            "provides",
            Shape::Items(&Shape::Map(&PORT)),
            "TCP ports; two jobs with one port on one host are refused.",
        ),
        optional(
            "needs_release",
            Shape::Bool,
            "Whether it can't be built without a release; true when it has `services`.",
        ),
        optional(
            "values",
            Shape::Named(&VARIABLE, &Shape::Map(&VALUE)),
            "What the script is made of.",
        ),
        optional(
            "services",
            Shape::Items(&Shape::Text(&SERVICE)),
            "Components of the release, in the order of starting.",
        ),
        optional(
            "units",
            Shape::Items(&Shape::Text(&UNIT)),
            "systemd units, in the order of starting.",
        ),
        optional(
            "health",
            Shape::Items(&Shape::Map(&CHECK)),
            "Questions that a healthy service answers.",
        ),
        optional(
            "health_timeout",
            Shape::Count { min: 1 },
            "How many seconds a start may take.",
        ),
        optional(
            "logs",
            Shape::Items(&Shape::Text(&HOST_PATH)),
            "Files whose end is shown when it doesn't come up.",
        ),
        optional(
            "leader",
            Shape::Text(&SHELL),
            "A command that exits with 0 on the instance that leads the others.",
        ),
    ],
);

const NEED: Keys = keys(
    "an item of `needs`",
    &[
        required("job", Shape::Text(&COMPONENT), "The job."),
        required("why", Shape::Text(&WORDS), "What for."),
    ],
);

const PORT: Keys = keys(
    "an item of `provides`",
    &[
        required("name", Shape::Text(&WORDS), "The port's name."),
        required("port", Shape::Port, "The port."),
    ],
);

const VALUE: Keys = Keys {
    exactly_one: &[
        "value",
        "address_of",
        "own_address",
        "index",
        "secret",
        "var",
    ],
    together: &[("default", "var")],
    ..keys(
        "a value",
        &[
            optional("value", Shape::Data, "The value itself."),
            optional(
                "address_of",
                Shape::Text(&COMPONENT),
                "The address of the first host that runs this job.",
            ),
            optional("own_address", Shape::Bool, "The host's address."),
            optional(
                "index",
                Shape::Bool,
                "The instance's number among its component's.",
            ),
            optional(
                "secret",
                Shape::Text(&VARIABLE),
                "A secret: `vars.<name>` says where it is, or it's made once.",
            ),
            optional(
                "var",
                Shape::Text(&VARIABLE),
                "A variable of the host, the component or the cluster.",
            ),
            optional(
                "default",
                Shape::Data,
                "What is taken where `var` isn't set.",
            ),
        ],
    )
};

const CHECK: Keys = Keys {
    exactly_one: &["tcp", "http", "command"],
    no_text: Some("write `command: …` for a command line, or `tcp: PORT`"),
    ..keys(
        "an item of `health`",
        &[
            optional("tcp", Shape::Port, "Something listens on this port."),
            optional(
                "http",
                Shape::Map(&HTTP),
                "`GET path` on this port answers with a 2xx status.",
            ),
            optional("command", Shape::Text(&SHELL), "A command exits with 0."),
        ],
    )
};

const HTTP: Keys = keys(
    "`http`",
    &[
        required("port", Shape::Port, "The port."),
        required(
            "path",
            Shape::Text(&URL_PATH),
            "The path, beginning with a slash.",
        ),
    ],
);
