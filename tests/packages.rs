//! Which packages count as installed, and what is said of those that can't be had, in a real Debian
//! with packages of the test's own.

mod common;

use std::path::PathBuf;

use common::deb::{Deb, repository};
use common::debian::{Debian, bootstrap_script};
use common::site::said;
use common::{after_prelude, injected};
use paas_cluster_build::job::INSTALLED;

/// A Debian whose only repository has two packages that provide one name, and one in two versions.
fn prepared(base: PathBuf) -> Debian {
    let debian = Debian::on(&[base]);
    debian.write(
        "etc/apt/sources.list",
        "deb [trusted=yes] file:/repository ./\n",
    );
    let plain = |name, version| Deb {
        name,
        version,
        ..Deb::default()
    };
    let provider = |name| Deb {
        more: "Provides: pcb-either, pcb-versioned (= 3)\n",
        ..plain(name, "1.0")
    };
    repository(
        &debian.upper("repository"),
        &[
            plain("pcb-pinned", "1.0"),
            plain("pcb-pinned", "2:2.0-1"),
            provider("pcb-this"),
            provider("pcb-that"),
        ],
    );
    debian.write("bootstrap", bootstrap_script("[pcb-pinned=1.0, pcb-this]"));
    debian.succeeds("rm -rf /var/lib/apt/lists/*");
    debian
}

/// Whether each of these counts as installed.
fn are_installed<'a>(debian: &Debian, wanted: &[&'a str]) -> Vec<&'a str> {
    let missing = debian.succeeds(&format!(
        "{INSTALLED}\nmissing_packages {}",
        wanted.join(" ")
    ));
    let is_missing = |name: &&&str| missing.lines().any(|line| line == **name);
    wanted
        .iter()
        .filter(|name| !is_missing(name))
        .copied()
        .collect()
}

#[test]
fn every_way_to_name_a_package_is_understood() {
    for base in Debian::bases() {
        let debian = prepared(base);
        debian.succeeds("sh /bootstrap");
        let architecture = debian.succeeds("dpkg --print-architecture");
        let native = format!("libc6:{}", architecture.trim());
        let wanted = [
            "pcb-pinned",
            "pcb-pinned=1.0",
            "pcb-pinned=2:2.0-1",
            "pcb-either",
            "pcb-versioned",
            "pcb-that",
            "awk",
            &native,
            "libc6:s390x",
            "nosuch",
        ];
        let there = [
            "pcb-pinned",
            "pcb-pinned=1.0",
            "pcb-either",
            "pcb-versioned",
            "awk",
            &native,
        ];
        assert_eq!(are_installed(&debian, &wanted), there);
    }
}

#[test]
fn a_package_that_was_removed_by_hand_is_named_and_installed_again() {
    for base in Debian::bases() {
        let debian = prepared(base);
        debian.succeeds("sh /bootstrap");
        let check = format!("{INSTALLED}\nneed_packages pcb-pinned=1.0 pcb-this\nexit 0");
        assert_eq!(debian.succeeds(&check), "");
        debian.succeeds("dpkg --remove pcb-this; apt-get -q -y install pcb-pinned");
        let output = debian.sh(&check);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            said(&output),
            "pcb-pinned is 2:2.0-1, and 1.0 is wanted; pcb-this isn't installed; bootstrap installs it\n"
        );
        // The version that the cluster file names is an older one by now.
        debian.succeeds("sh /bootstrap");
        assert_eq!(debian.succeeds(&check), "");
        let again = debian.succeeds("sh /bootstrap");
        assert!(again.contains("packages: all there"), "{again}");
    }
}

#[test]
fn what_can_not_be_had_is_told_with_what_there_is() {
    for base in Debian::bases() {
        let debian = prepared(base);
        for (wanted, words) in [
            (
                "[pcb-either]",
                "could not install: pcb-either; several packages provide pcb-either, name one of them: \
                 pcb-that pcb-this",
            ),
            (
                "[pcb-pinned=7]",
                "could not install: pcb-pinned=7; of pcb-pinned there is: 1.0 2:2.0-1",
            ),
            (
                "[pcb-nosuch]",
                "could not install: pcb-nosuch; the host's package lists don't have pcb-nosuch",
            ),
            ("[\"pcb-this:s390x\"]", "dpkg --add-architecture"),
        ] {
            debian.write("other", bootstrap_script(wanted));
            let output = debian.sh("sh /other");
            let said = said(&output);
            assert!(!output.status.success(), "{wanted}\n{said}");
            let last = said.lines().last().unwrap();
            assert!(last.starts_with("bootstrap: could not install"), "{said}");
            assert!(last.contains(words), "{last}");
        }
    }
}

/// What a power loss or a full disk leaves of apt's own files, and a lock that somebody holds.
#[test]
fn damaged_lists_and_archives_and_a_held_lock_are_no_obstacle() {
    for base in Debian::bases() {
        let ready = prepared(base);
        ready.succeeds("apt-get -q update");
        // For a repository in a folder a list is but a link to its index.
        let faults = [
            (
                "half of a list",
                "for f in /var/lib/apt/lists/*_Packages; do head -c 40 $f >x; mv x $f; done; rm -f /var/cache/apt/*.bin",
            ),
            (
                "a list of garbage",
                "for f in /var/lib/apt/lists/*_Packages; do echo garbage >x; mv x $f; done; rm -f /var/cache/apt/*.bin",
            ),
            (
                "half of apt's cache",
                "apt-cache policy pcb-this; for f in /var/cache/apt/*.bin; do head -c 100 $f >x; cp x $f; done",
            ),
            (
                "an empty list",
                "for f in /var/lib/apt/lists/*_Packages; do : >x; mv x $f; done; rm -f /var/cache/apt/*.bin",
            ),
            (
                "lock files that nobody holds",
                "touch /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend /var/lib/apt/lists/lock",
            ),
            (
                "an entry in dpkg's journal that was cut",
                "head -c 20 /var/lib/dpkg/status >/var/lib/dpkg/updates/tmp.i",
            ),
        ];
        for (what, fault) in faults {
            let debian = ready.copy();
            debian.succeeds(fault);
            let output = debian.sh("sh /bootstrap");
            assert!(output.status.success(), "{what}:\n{}", said(&output));
            let wanted = ["pcb-pinned=1.0", "pcb-this"];
            assert_eq!(are_installed(&debian, &wanted), wanted, "{what}");
        }
        injected(faults.len(), "kinds of damage to apt's files");
        // Another program has dpkg's lock, its journal is not empty, and the lock is given back.
        let debian = ready.copy();
        debian.succeeds("dpkg --unpack /repository/pcb-this_1.0_all.deb");
        let held = debian.succeeds(
            "perl -e '
                use Fcntl; open(my $lock, \">\", \"/var/lib/dpkg/lock-frontend\") or die;
                my $all = pack(\"s s x4 q q i x4\", F_WRLCK, 0, 0, 0, 0);
                fcntl($lock, F_SETLK, $all) or die; open(my $up, \">\", \"/held\"); close $up;
                for (1..2400) { last if -e \"/waits\"; select(undef, undef, undef, 0.05) }
            ' &
            for _ in $(seq 600); do if [ -e /held ]; then break; fi; sleep 0.05; done
            sh /bootstrap | while read -r line; do
                echo \"$line\"
                case $line in *'waiting for the program that has the lock'*) : >/waits ;; esac
            done
            wait",
        );
        assert!(held.contains("waiting for the program"), "{held}");
        let wanted = ["pcb-pinned=1.0", "pcb-this"];
        assert_eq!(are_installed(&debian, &wanted), wanted, "{held}");
    }
}

/// What a job says where a package that it needs isn't there; no dpkg in the world has this one.
#[test]
fn a_job_tells_a_package_that_is_not_listed_from_one_that_was_removed() {
    let home = tempfile::TempDir::new().unwrap();
    let receipts = home.path().join("receipts");
    std::fs::create_dir(&receipts).unwrap();
    let line = format!("{INSTALLED}\nPAAS_ROOT=$PAAS_HOME\nneed_package pcb-nosuch");
    let (ok, said) = after_prelude(home.path(), &line);
    assert!(!ok);
    assert_eq!(
        said,
        "error: pcb-nosuch isn't installed; add it to `packages` in the cluster file\n"
    );
    for listed in ["pcb-nosuch", "pcb-nosuch=1.0", "pcb-nosuch:amd64"] {
        let receipt =
            format!(r#"{{"inputs":{{"packages":{{"value":["abc","{listed}"]}}}},"x":1}}"#);
        std::fs::write(receipts.join("bootstrap.json"), receipt).unwrap();
        let (ok, said) = after_prelude(home.path(), &line);
        assert!(!ok);
        assert!(
            said.contains("it was removed since; run `bootstrap`"),
            "{said}"
        );
    }
    let receipt = r#"{"inputs":{"packages":{"value":["pcb-nosuch-other"]}}}"#;
    std::fs::write(receipts.join("bootstrap.json"), receipt).unwrap();
    let (_, said) = after_prelude(home.path(), &line);
    assert!(said.contains("add it to `packages`"), "{said}");
}
