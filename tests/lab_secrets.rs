//! Where secrets turn up, searched for everywhere on both sides after a run that failed. Needs root
//! and what `lab up` asks for; counted as skipped elsewhere.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::site::{Site, said};
use paas_cluster_build::secret::forms;

const HOST: &str = "10.77.66.1";
const FROM_ENV: &str = "pl4nted-env/it's%one";
const FROM_FILE: &str = "pl4nted-file&two";
const FROM_COMMAND: &str = "pl4nted-command three";

/// Prints everything that it knows, in every way, and fails.
const SCRIPT: &str = r#"
FIRST={{ first }}
SECOND={{ second }}
THIRD={{ third }}
set -x
echo "the first is $FIRST"
printf '%s\n' "$SECOND" | cat
printf '%s' "$THIRD" | base64 -w 0
set +x
printf 'split '
printf '%s' "$FIRST" | head -c 7
sleep 0.3
printf '%s' "$FIRST" | tail -c +8
echo
for round in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done
exit 7
"#;

/// All forms of all planted secrets, as bytes.
fn needles() -> Vec<Vec<u8>> {
    let all = [FROM_ENV, FROM_FILE, FROM_COMMAND].into_iter();
    all.flat_map(forms).map(String::into_bytes).collect()
}

fn holds(content: &[u8], needles: &[Vec<u8>]) -> bool {
    needles.iter().any(|needle| {
        content
            .windows(needle.len())
            .any(|window| window == needle.as_slice())
    })
}

/// Searches a folder's files; those that are meant to hold a secret are named with their reason.
fn search(folder: &Path, meant: &[&Path], needles: &[Vec<u8>], found: &mut Vec<PathBuf>) -> usize {
    let mut count = 0;
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    for entry in entries.map_while(Result::ok) {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            count += search(&path, meant, needles, found);
        } else if kind.is_file() && !meant.contains(&path.as_path()) {
            count += 1;
            if fs::read(&path).is_ok_and(|content| holds(&content, needles)) {
                found.push(path);
            }
        }
    }
    count
}

/// Looks at the command lines and environments of all processes of this machine, the lab's
/// included, until it's told to stop; returns where a secret was seen.
fn watch_processes(
    stop: Arc<AtomicBool>,
    mine: u32,
    needles: Vec<Vec<u8>>,
) -> thread::JoinHandle<(usize, BTreeSet<String>)> {
    thread::spawn(move || {
        let (mut looks, mut seen) = (0, BTreeSet::new());
        while !stop.load(Ordering::SeqCst) {
            for entry in fs::read_dir("/proc").unwrap().map_while(Result::ok) {
                let name = entry.file_name().into_string().unwrap_or_default();
                let Ok(pid) = name.parse::<u32>() else {
                    continue;
                };
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                looks += 1;
                if holds(&line, &needles) {
                    seen.insert(String::from_utf8_lossy(&line).into_owned());
                }
                // The binary is told its secret by the environment, as the operator chose; and the
                // operator's own command for a secret gets the operator's own environment.
                let is_ours = line.windows(18).any(|w| w == b"paas-cluster-build")
                    || line == b"sh\0-c\0cat third\0"
                    || line == b"cat\0third\0";
                if pid != mine && !is_ours {
                    let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
                    if holds(&environment, &needles) {
                        seen.insert(format!("environment of {}", String::from_utf8_lossy(&line)));
                    }
                }
            }
        }
        (looks, seen)
    })
}

#[test]
fn no_secret_is_anywhere_but_where_it_is_meant_to_be() {
    let yml =
        "values:\n  first: {secret: first}\n  second: {secret: second}\n  third: {secret: third}\n";
    let text = format!(
        "name: secrets\ncomponents: [leaky]\nserver: {{leaky: {{ip: {HOST}}}}}\nvars:\n  \
         first: {{env: PCB_TEST_SECRET}}\n  second: {{file: second}}\n  third: {{command: cat third}}\n"
    );
    let Some(site) = Site::boot(&text, &[("leaky", yml, SCRIPT)]) else {
        return;
    };
    for (name, secret) in [("second", FROM_FILE), ("third", FROM_COMMAND)] {
        fs::write(site.path(name), format!("{secret}\n")).unwrap();
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let needles = needles();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch_processes(stop.clone(), std::process::id(), needles.clone());
    let mut outputs = Vec::new();
    for form in ["human", "plain", "json"] {
        for arguments in [&["build", "--force"][..], &["plan", "--diff"], &["status"]] {
            let mut command = site.command_from("state", arguments);
            command
                .args(["--output", form])
                .env("PCB_TEST_SECRET", FROM_ENV);
            let output = command.output().unwrap();
            outputs.push(said(&output));
            if arguments[0] == "build" {
                assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            }
        }
    }
    let plan = site.path("plan.json");
    let mut command = site.command_from("state", &["plan", "--out", plan.to_str().unwrap()]);
    outputs.push(said(
        &command.env("PCB_TEST_SECRET", FROM_ENV).output().unwrap(),
    ));
    let mut wrong = site.command_from("state", &["build"]);
    outputs.push(said(&wrong.output().unwrap()));
    stop.store(true, Ordering::SeqCst);
    let (looks, seen) = watcher.join().unwrap();
    assert!(looks > 1000, "only {looks} processes were looked at");
    assert!(seen.is_empty(), "in the process list: {seen:#?}");
    let joined = outputs.concat();
    assert!(
        joined.contains("the first is [secret]"),
        "it was printed: {joined}"
    );
    assert!(
        !holds(joined.as_bytes(), &needles),
        "in an output: {joined}"
    );

    // On the workstation: journals, logs, plan.json.
    let mut found = Vec::new();
    let meant = [site.path("second"), site.path("third")];
    let meant: Vec<&Path> = meant.iter().map(PathBuf::as_path).collect();
    let searched = search(site.folder.path(), &meant, &needles, &mut found);
    assert!(searched > 10 && plan.exists());
    assert!(found.is_empty(), "on the workstation: {found:#?}");

    // On the host: its whole disk but the kernel's own file systems, and what its journal says.
    let patterns = needles
        .iter()
        .map(|needle| String::from_utf8(needle.clone()).unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    // A query's script isn't kept on the host; the pattern is encoded, or grep would find itself.
    let hex: String = patterns
        .bytes()
        .map(|byte| format!("\\{byte:03o}"))
        .collect();
    let command = format!(
        "printf '{hex}' >/run/patterns; for dir in /var /root /home /tmp /etc /opt /usr/local; do \
         grep -rlaF -f /run/patterns \"$dir\" || :; done; journalctl --no-pager 2>/dev/null | \
         grep -caF -f /run/patterns || :"
    );
    assert_eq!(site.on(HOST, &command).trim(), "0", "on the host");
    // The search does find what is there.
    let planted = format!("printf '{hex}' | head -n 1 >/root/planted; {command}");
    let told = site.on(HOST, &planted);
    assert!(told.contains("/root/planted"), "{told}");
    println!("{looks} processes, {searched} files here and the host's disk searched");
}
