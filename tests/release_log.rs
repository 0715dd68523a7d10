//! `bin/log` of the example release shows what the real release's does, beside the real one where
//! PAAS_REAL_RELEASE names its folder.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{root, skip};
use tempfile::TempDir;

/// What the cloud controller's log holds, and one line more that ends what is looked at.
const LOG: &str = r#"{"timestamp":1375257600.25,"log_level":"info","source":"cc.api","message":"GET /info","data":{"request_guid":"b8eb163b-0c25","status":200}}
{"timestamp":1375257601.5,"log_level":"debug","source":"cf.registrar","message":"again","data":{}}
{"timestamp":1375257602.0,"log_level":"warn","source":"cc","message":"no data"}
{"timestamp":1375257603.0,"log_level":"info","source":"cc","message":"the last one","data":{}}
"#;

/// The lines that `bin/log COMPONENT` of a release prints, up to the last one.
fn shown(release: &Path, component: &str) -> Vec<String> {
    let home = TempDir::new().unwrap();
    let logs = home.path().join("vcap/sys/log");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("cloud_controller.log"), LOG).unwrap();
    for empty in ["stdout", "stderr"] {
        fs::write(logs.join(format!("cloud_controller.{empty}.log")), "").unwrap();
    }
    // The real one doesn't flush what it prints: on a pipe nothing would come before its end.
    let flush = home.path().join("flush.rb");
    fs::write(&flush, "$stdout.sync = true\n").unwrap();
    let mut child = Command::new("ruby")
        .arg(release.join("bin/log"))
        .arg(component)
        .env("HOME", home.path())
        .env("TZ", "UTC")
        .env("RUBYOPT", format!("-r{}", flush.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    for line in output.lines() {
        let line = line.unwrap();
        let ends = line.contains("the last one");
        lines.push(line);
        if ends {
            break;
        }
    }
    // Together with the programs that follow the files for it.
    let group = format!("-{}", child.id());
    let killed = Command::new("kill").args(["-TERM", "--", &group]).status();
    assert!(killed.unwrap().success());
    child.wait().unwrap();
    lines
}

fn ruby_is_there() -> bool {
    let there = Command::new("ruby").arg("--version").output().is_ok();
    if !there {
        skip("bin/log of the example release: Ruby isn't installed");
    }
    there
}

#[test]
fn a_line_of_json_is_readable_and_routine_is_left_out() {
    if !ruby_is_there() {
        return;
    }
    let expected = [
        "08:00:00.250 ccng [info]   [cc.api  ] : (b8eb16) GET /info",
        "---> {\"status\"=>200}",
        "08:00:02.000 ccng [warn]   [cc      ] : no data",
        "08:00:03.000 ccng [info]   [cc      ] : the last one",
    ];
    let release = root().join("deploy/paas-release");
    for name in ["cc", "ccng", "cloud_controller"] {
        assert_eq!(shown(&release, name), expected, "{name}");
    }
}

#[test]
fn it_shows_what_the_real_one_shows() {
    let Some(real) = std::env::var_os("PAAS_REAL_RELEASE") else {
        skip("the real release's bin/log: PAAS_REAL_RELEASE names no folder of it");
        return;
    };
    if !ruby_is_there() {
        return;
    }
    let ours = shown(&root().join("deploy/paas-release"), "cc");
    assert_eq!(ours, shown(Path::new(&real), "cc"));
}
