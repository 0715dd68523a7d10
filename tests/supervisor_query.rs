//! Queries and files through the on-host supervisor.

mod common;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use common::ground::*;
use paas_cluster_build::script::Upload;
use paas_cluster_build::transport::{Connection, QueryOutput, TransportErrorKind};
use sha2::{Digest, Sha256};

#[test]
fn a_query_prints_anything_and_leaves_nothing() {
    let ground = Ground::new();
    let output = ground
        .open()
        .query("printf 'a\\0\\377'; echo err >&2; cat; exit 7")
        .unwrap();
    assert_eq!(
        output,
        QueryOutput {
            output: b"a\0\xfferr\n".to_vec(),
            status: 7
        }
    );
    assert!(!ground.root().exists());
    let silent = ground.open().query("echo \"$PAAS_ROOT\"").unwrap();
    assert_eq!(
        silent.output,
        format!("{}\n", ground.root().display()).as_bytes()
    );
}

#[test]
fn a_query_is_bounded() {
    let ground = Ground::new();
    let error = ground.open().query("yes").unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(error.message.contains("4 MiB"), "{error}");
    let just = ground.open().query("head -c 4000000 /dev/zero").unwrap();
    assert_eq!(just.output.len(), 4_000_000);
}

#[test]
fn a_query_ends_although_what_it_started_holds_its_output() {
    let ground = Ground::new();
    let fifo = ground.fifo("holds");
    let script = format!("(read -r _ <'{}') & echo $!", fifo.display());
    let output = ground.open().query(&script).unwrap();
    assert_eq!(output.status, 0);
    fs::write(fifo, "end\n").unwrap();
    wait_until_gone(String::from_utf8(output.output).unwrap().trim());
}

fn upload(content: &[u8]) -> Upload {
    let sha256 = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Upload {
        path: "a-file".into(),
        bytes: content.len() as u64,
        sha256,
    }
}

#[test]
fn a_file_is_put_once() {
    let ground = Ground::new();
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let upload = upload(&content);
    let mut sent = 0;
    ground
        .open()
        .put(&upload, &mut &content[..], &mut |bytes| sent = bytes)
        .unwrap();
    assert_eq!(sent, upload.bytes);
    let path = ground.path(&format!("artifacts/{}", upload.sha256));
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut unread = io::repeat(0).take(1);
    ground
        .open()
        .put(&upload, &mut unread, &mut |_| {
            panic!("nothing is to be sent")
        })
        .unwrap();
}

#[test]
fn a_file_with_another_digest_or_length_is_refused_and_leaves_nothing() {
    let ground = Ground::new();
    let upload = upload(b"right");
    let error = ground
        .open()
        .put(&upload, &mut &b"wrong"[..], &mut |_| {})
        .unwrap_err();
    assert!(error.message.contains("digest"), "{error}");
    let error = ground
        .open()
        .put(&upload, &mut &b"rig"[..], &mut |_| {})
        .unwrap_err();
    assert!(error.message.contains("cut short"), "{error}");
    assert_eq!(fs::read_dir(ground.path("artifacts")).unwrap().count(), 0);
    ground
        .open()
        .put(&upload, &mut &b"right"[..], &mut |_| {})
        .unwrap();
}

#[test]
fn a_file_that_is_too_large_for_the_disk_is_refused_before_it_is_sent() {
    let ground = Ground::new();
    let mut upload = upload(b"");
    upload.bytes = 1 << 60;
    let error = ground
        .open()
        .put(&upload, &mut io::repeat(0), &mut |_| {})
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(error.message.contains("too full"), "{error}");
}

#[test]
fn an_interrupted_file_is_sent_anew() {
    let ground = Ground::new();
    let content = vec![7; 1_000_000];
    let upload = upload(&content);
    let mut connection = ground.open();
    let interrupt = connection.interrupter();
    let error = connection
        .put(&upload, &mut &content[..], &mut |_| interrupt())
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Lost);
    assert!(
        !ground
            .path(&format!("artifacts/{}", upload.sha256))
            .exists()
    );
    ground
        .open()
        .put(&upload, &mut &content[..], &mut |_| {})
        .unwrap();
}
