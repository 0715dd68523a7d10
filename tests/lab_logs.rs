//! `logs -f` over eleven machines of the lab, files and journals, while one machine's network is cut
//! and comes back. Needs root and what `lab up` asks for; counted as skipped elsewhere.

mod common;

use std::time::{Duration, Instant};

use common::injected;
use common::site::{Site, said, signal};

const HOSTS: u8 = 11;

/// Writes a numbered line into a file and one into its unit's journal, ten times a second, with a
/// heartbeat between them; rotates its file by itself.
const WRITER: (&str, &str, &str) = (
    "writer",
    "units: [test-writer]\nlogs: [/var/log/writer.log]\n",
    r#"cat >/usr/local/bin/test-writer <<'END'
#!/bin/sh
number=0
while :; do
	if [ -e /run/writer.done ]; then exec sleep infinity; fi
	at=$(date +%s.%N)
	printf '{"timestamp":%s,"message":"file %d.","log_level":"info","source":"w"}\n' "$at" "$number" >>/var/log/writer.log
	printf '{"timestamp":%s,"message":"beat","source":"cf.registrar"}\n' "$at" >>/var/log/writer.log
	echo "journal $number."
	number=$((number + 1))
	if [ $((number % 50)) -eq 0 ]; then mv /var/log/writer.log "/var/log/writer.log.$number"; fi
	sleep 0.1
done
END
chmod +x /usr/local/bin/test-writer
cat >/etc/systemd/system/test-writer.service <<'END'
[Service]
ExecStart=/usr/local/bin/test-writer
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet --now test-writer
"#,
);

fn host(number: u8) -> String {
    format!("10.77.70.{number}")
}

/// The numbers behind a word in the lines of a host, in their order.
fn numbers(shown: &str, host: &str, word: &str) -> Vec<u64> {
    let of_host = shown
        .lines()
        .filter(|line| line.contains(&format!(" {host} ")));
    let behind = of_host.filter_map(|line| line.split_once(&format!(" {word} ")));
    let number = behind.map(|(_, rest)| rest.split('.').next().unwrap().parse().unwrap());
    number.collect()
}

/// The first lines that were shown of a host, and all notes.
fn lines_of(shown: &str, host: &str) -> String {
    let of_host = shown.lines().filter(|line| line.contains(host)).take(80);
    let notes = shown.lines().filter(|line| line.starts_with("note: "));
    of_host.chain(notes).flat_map(|line| [line, "\n"]).collect()
}

/// Waits until a line of a host is shown with a number that is as high.
fn await_number(site: &Site, host: &str, word: &str, number: u64) {
    let until = Instant::now() + Duration::from_secs(120);
    let newest = || {
        let shown = site.await_text("shown", "");
        numbers(&shown, host, word).last().copied()
    };
    while newest() < Some(number) {
        assert!(Instant::now() < until, "{host}: {word} {number} never came");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn eleven_machines_in_one_stream_while_one_is_cut_off() {
    let hosts: Vec<String> = (1..=HOSTS).map(host).collect();
    let text = format!(
        "name: logs\ncomponents: [writer]\nserver:\n  writer: {{ip: [{}]}}\n",
        hosts.join(", ")
    );
    let Some(site) = Site::boot(&text, &[WRITER]) else {
        return;
    };
    site.succeeds(&["build"]);
    let mut follower = site.start("state", "shown", &["logs", "-f", "-n", "all"]);
    for host in &hosts {
        await_number(&site, host, "file", 0);
        await_number(&site, host, "journal", 0);
    }
    // The cable is out for longer than TCP waits, and meanwhile the file is rotated.
    site.succeeds(&["lab", "cut", &hosts[4]]);
    site.await_text(
        "shown",
        &format!("note: {}: the connection was lost", hosts[4]),
    );
    site.succeeds(&["lab", "heal", &hosts[4]]);
    site.await_text("shown", &format!("note: {}: connected again", hosts[4]));
    // Nothing more is written; then all that was written has to be shown.
    let last = |host: &str| {
        site.on(host, "touch /run/writer.done; sleep 1");
        let count = "cat /var/log/writer.log* | grep -c file";
        site.on(host, count).trim().parse::<u64>().unwrap() - 1
    };
    let counts: Vec<u64> = hosts.iter().map(|host| last(host)).collect();
    for (host, last) in hosts.iter().zip(&counts) {
        await_number(&site, host, "file", *last);
        await_number(&site, host, "journal", *last);
    }
    signal(&follower, "INT");
    assert_eq!(follower.wait().unwrap().code(), Some(130));
    let shown = site.await_text("shown", "");
    for (host, last) in hosts.iter().zip(&counts) {
        let expected: Vec<u64> = (0..=*last).collect();
        let of_journal = numbers(&shown, host, "journal");
        assert!(of_journal == expected, "{host}: {}", lines_of(&shown, host));
        // Files rotated before the follower began aren't its own.
        let of_file = numbers(&shown, host, "file");
        let from = of_file.first().copied().unwrap();
        let expected: Vec<u64> = (from..=*last).collect();
        assert!(of_file == expected, "{host}: {}", lines_of(&shown, host));
    }
    assert!(!shown.contains("beat "), "heartbeats are left out");
    injected(1, "network cut while eleven machines' logs were followed");

    // What is there is in order of time, whatever host it's from.
    let listed = site.run(&["logs", "--since", "1h", "--output", "json"]);
    assert!(listed.status.success(), "{}", said(&listed));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let times: Vec<jiff::Timestamp> = listed
        .lines()
        .filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["time"].as_str().map(|time| time.parse().unwrap())
        })
        .collect();
    assert!(times.len() > 100 && times.is_sorted(), "{}", times.len());

    // A machine without power is told of; the others are shown.
    site.succeeds(&["lab", "kill", &hosts[2]]);
    let partly = site.run(&["logs", "-n", "1"]);
    assert_eq!(partly.status.code(), Some(3));
    let partly = said(&partly);
    assert!(
        partly.contains(&format!("note: {}: ", hosts[2])),
        "{partly}"
    );
    assert!(
        partly.contains(&format!(" {} writer", hosts[10])),
        "{partly}"
    );
}
