//! The scripts that read logs on hosts, as golden files that shellcheck reads.

mod common;

use std::path::PathBuf;

use common::{assert_golden, assert_shellcheck_clean, catalog, cluster, root};
use paas_cluster_build::logs::{
    Declared, FileLook, JournalLook, Kind, LogPlace, Place, file_script, journal_script,
};

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden/logs").join(name)
}

#[test]
fn every_script_that_reads_logs() {
    let paths = ["vcap/sys/log/nats.log", "/var/log/it's.log"];
    let place = Place {
        inode: 7,
        offset: 42,
        is_emptied: false,
        before: b"x\n".to_vec(),
    };
    let known = vec![place, Place::default()];
    let back = FileLook::Back {
        bytes: 65536,
        seconds: 600,
    };
    let files = |look: &FileLook| file_script("paas", "/home/paas", &paths, look).unwrap();
    let groups = [vec!["redis.service"], vec!["a.service", "b.service"]];
    let journal = |look: &JournalLook| journal_script(&groups, look).unwrap();
    let mut written = Vec::new();
    for (name, script) in [
        ("files-back.sh", files(&back)),
        ("files-from.sh", files(&FileLook::From(known))),
        (
            "journal-back.sh",
            journal(&JournalLook::Back {
                lines: 20,
                seconds: 600,
            }),
        ),
        (
            "journal-all.sh",
            journal(&JournalLook::Back {
                lines: 20,
                seconds: 0,
            }),
        ),
        (
            "journal-after.sh",
            journal(&JournalLook::After(Some("s=1;i=2".into()))),
        ),
        (
            "journal-from-nothing.sh",
            journal(&JournalLook::After(None)),
        ),
    ] {
        assert_golden(&golden(name), &script);
        written.push(golden(name));
    }
    assert_shellcheck_clean(&written);
}

#[test]
fn what_the_jobs_declare_is_read_once_on_each_host() {
    let catalog = catalog();
    let cluster = cluster("config/cluster.yml", &catalog);
    let all = Declared::of(&cluster, &catalog, &cluster.select(&[], &[]).unwrap());
    // Of each of the eleven machines, the files over one connection and the journal over another.
    assert_eq!(all.sources.len(), 2 * cluster.hosts.len());
    assert!(all.silent.is_empty());
    for source in &all.sources {
        let mut seen = std::collections::BTreeSet::new();
        for stream in source.streams.iter().map(|number| &all.streams[*number]) {
            assert_eq!(stream.host, source.host.address);
            let names = match &stream.place {
                LogPlace::File(path) => vec![path.clone()],
                LogPlace::Journal(units) => units.clone(),
            };
            assert_eq!(
                source.kind == Kind::Files,
                matches!(stream.place, LogPlace::File(_))
            );
            names
                .into_iter()
                .for_each(|name| assert!(seen.insert(name.clone()), "{name}"));
        }
    }
    let nats = cluster.select(&["nats".to_owned()], &[]).unwrap();
    let nats = Declared::of(&cluster, &catalog, &nats);
    let places: Vec<&LogPlace> = nats.streams.iter().map(|stream| &stream.place).collect();
    let file = |kind: &str| LogPlace::File(format!("vcap/sys/log/nats.{kind}"));
    assert_eq!(
        places,
        [
            &file("log"),
            &file("stdout.log"),
            &file("stderr.log"),
            &file("start.log"),
            &LogPlace::Journal(vec!["paas-cluster-nats.service".to_owned()]),
        ]
    );
}
