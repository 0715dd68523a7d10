//! An installation that lost its power at each of dpkg's steps, in a real Debian with real packages:
//! the next bootstrap heals what was left, whatever it was, and asks nobody.

mod common;

use std::path::PathBuf;

use common::deb::{Deb, repository};
use common::debian::{Debian, bootstrap_script};
use common::injected;
use common::random::{Random, number};

/// Counts the points that an installation passes. At the one whose number is in `/points/stop`, all
/// stands still, and the power goes.
const POINT: &str = r#"#!/bin/sh
exec 9>>/points/lock
flock 9
number=$(($(cat /points/count 2>/dev/null || echo 0) + 1))
echo "$number" >/points/count
echo "$number $*" >>/points/log
if [ "$number" = "$(cat /points/stop 2>/dev/null)" ]; then
	: >/points/hit
	kill -s STOP -1
	sleep 600
fi
"#;

/// dpkg's own account of its steps, one a line.
const LOGGER: &str = "#!/bin/sh\nwhile read -r line; do /points/point \"$line\"; done\n";

/// Lets dpkg's unpacker stop in the middle of a package's files.
const UNPACKER: &str = r#"#!/bin/sh
case "$*" in
*--fsys-tarfile*)
	/usr/bin/dpkg-deb.real "$@" | {
		head -c 40000
		/points/point "half of the files: $*"
		cat
	}
	;;
*) exec /usr/bin/dpkg-deb.real "$@" ;;
esac
"#;

/// Lets apt tell its own steps.
const HOOKS: &str = "APT::Update::Pre-Invoke { \"/points/point apt begins to fetch lists\"; };\n\
                     APT::Update::Post-Invoke { \"/points/point apt has fetched lists\"; };\n\
                     DPkg::Pre-Invoke { \"/points/point apt calls dpkg\"; };\n\
                     DPkg::Post-Invoke { \"/points/point dpkg has ended\"; };\n";

const SLOW: &str = "#!/bin/sh\nset -e\n/points/point \"$0 $1 begins\"\nsleep 0.05\n\
                    echo \"$0 $*\" >>/var/log/pcb-slow\n/points/point \"$0 $1 ends\"\n";

/// What is to be on the host: a new version whose configuration file was changed here, a package with
/// slow scripts, and something that another one provides.
const WANTED: &str = "[pcb-admin=2.0, pcb-slow, pcb-virtual]";

/// One of so many points is cut at where the night isn't asked for.
const SHARE: usize = 5;

/// A Debian with the old version installed and its configuration file changed by hand, and with the
/// bootstrap script beside it.
fn prepared(base: PathBuf) -> Debian {
    let debian = Debian::on(&[base]);
    for (path, text) in [("point", POINT), ("logger", LOGGER)] {
        debian.write(&format!("points/{path}"), text);
    }
    debian.write("points/dpkg-deb", UNPACKER);
    debian.write("points/apt.conf", HOOKS);
    debian.write(
        "etc/apt/sources.list",
        "deb [trusted=yes] file:/repository ./\n",
    );
    debian.write("bootstrap", bootstrap_script(WANTED));
    const CONF: &str = "/etc/pcb/admin.conf";
    let large: &str = "what takes a while to unpack\n".repeat(3000).leak();
    let admin = |version, text| Deb {
        name: "pcb-admin",
        version,
        files: Box::leak(Box::new([
            (CONF, text),
            ("/usr/share/pcb/admin", version),
            ("/usr/share/pcb/large", large),
        ])),
        conffiles: &[CONF],
        control: &[("postinst", SLOW)],
        ..Deb::default()
    };
    let scripts = ["preinst", "postinst", "prerm", "postrm"].map(|name| (name, SLOW));
    repository(
        &debian.upper("repository"),
        &[
            admin("1.0", "as packaged\n"),
            admin("2.0", "as packaged anew\n"),
            Deb {
                name: "pcb-library",
                version: "1.0",
                more: "Provides: pcb-virtual (= 1.0)\n",
                files: &[
                    ("/usr/share/pcb-library/a", large),
                    ("/usr/share/pcb-library/b", "b"),
                ],
                control: &[("postinst", SLOW)],
                ..Deb::default()
            },
            Deb {
                name: "pcb-watcher",
                version: "1.0",
                control: &[
                    ("postinst", SLOW),
                    ("triggers", "interest /usr/share/pcb-things\n"),
                ],
                ..Deb::default()
            },
            Deb {
                name: "pcb-slow",
                version: "1.0",
                more: "Depends: pcb-library\n",
                files: &[
                    ("/usr/share/pcb-things/slow", large),
                    ("/etc/pcb/slow.conf", "slow"),
                ],
                conffiles: &["/etc/pcb/slow.conf"],
                control: &scripts,
            },
        ],
    );
    debian.succeeds(
        "apt-get -q update && apt-get -q -y install pcb-admin=1.0 pcb-watcher
         echo by hand >/etc/pcb/admin.conf
         mv /usr/bin/dpkg-deb /usr/bin/dpkg-deb.real && cp /points/dpkg-deb /usr/bin/dpkg-deb
         echo status-logger=/points/logger >/etc/dpkg/dpkg.cfg.d/points
         cp /points/apt.conf /etc/apt/apt.conf.d/points && rm -rf /var/lib/apt/lists/* /points/log /points/count",
    );
    debian
}

/// Looks whether all is there and whole, and as the admin left it.
fn assert_healthy(debian: &Debian, what: &str) {
    let said = debian.succeeds(
        "dpkg --audit; dpkg --verify | grep -v /usr/bin/dpkg-deb
         dpkg-query -W -f '${Status} ${Package} ${Version}\\n' pcb-admin pcb-library pcb-slow pcb-watcher
         cat /etc/pcb/admin.conf; cat /usr/share/pcb/admin
         ls /var/lib/dpkg/updates | grep -v tmp.i || true",
    );
    // dpkg names the file that was changed by hand, and nothing else.
    let expected = "??5?????? c /etc/pcb/admin.conf\n\
                    install ok installed pcb-admin 2.0\n\
                    install ok installed pcb-library 1.0\n\
                    install ok installed pcb-slow 1.0\n\
                    install ok installed pcb-watcher 1.0\n\
                    by hand\n2.0";
    assert_eq!(said, expected, "{what}");
}

#[test]
fn an_installation_that_is_cut_anywhere_is_finished_by_the_next_bootstrap() {
    for base in Debian::bases() {
        let name = base.file_name().unwrap().to_string_lossy().into_owned();
        let ready = prepared(base);
        let whole = ready.copy();
        whole.succeeds("sh /bootstrap");
        assert_healthy(&whole, "without a cut");
        let points = whole.succeeds("cat /points/log");
        let count = points.lines().count();
        println!("{points}");
        assert!(count > 40, "{points}");
        let only = number("PAAS_TEST_POINT").map(|point| point as usize);
        let mut random = Random::seeded("PAAS_TEST_SEED");
        // A cut takes seconds: by day a part of them, another one each time; by night all.
        let share = if cfg!(feature = "nightly") { 1 } else { SHARE };
        let first = random.next() as usize % share;
        let is_chosen = |point: &usize| match only {
            Some(only) => only == *point,
            None => point % share == first,
        };
        let mut cuts = 0;
        for point in (1..=count).filter(is_chosen) {
            let debian = ready.copy();
            debian.write("points/stop", point.to_string());
            let at = points.lines().nth(point - 1).unwrap();
            assert!(
                debian.cut_when("points/hit", "sh /bootstrap"),
                "{at}:\n{}",
                debian.log()
            );
            cuts += 1;
            // Now and then the power goes once more, while what it left is being healed.
            if random.next().is_multiple_of(3) {
                let again = point + 1 + random.next() as usize % 12;
                debian.write("points/stop", again.to_string());
                cuts += usize::from(debian.cut_when("points/hit", "sh /bootstrap"));
            }
            debian.write("points/stop", "0");
            let output = debian.sh("sh /bootstrap");
            let said = common::site::said(&output);
            assert!(output.status.success(), "cut at {at}:\n{said}");
            assert_healthy(&debian, &format!("cut at {at}:\n{said}"));
        }
        injected(
            cuts,
            &format!("power losses under an installation ({name})"),
        );
    }
}
