//! `logs`: what services say on their hosts, over real sshds on loopback. Connections are cut, files
//! rotated, emptied and replaced while somebody writes: every line comes exactly once, in its order.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::cut::{Fate, Proxy};
use common::desk::Desk;
use common::injected;
use common::site::signal;
use common::sshd::{Server, user};
use serde_json::Value;

/// A desk whose cluster has one component on one host of this machine, with logs in the desk's folder.
struct Bench {
    server: Server,
    desk: Desk,
}

impl Bench {
    /// `fates` are those of the connections.
    fn new(fates: &[Fate]) -> Bench {
        let server = Server::start();
        let proxy = Proxy::before(server.port, fates);
        let desk = Desk::new("");
        let folder = desk.folder.path().display().to_string();
        let job = desk.path("jobs/app");
        fs::create_dir_all(&job).unwrap();
        fs::create_dir_all(desk.path("host")).unwrap();
        fs::write(
            job.join("job.yml"),
            format!("logs: [{folder}/host/app.log, {folder}/host/app.stderr.log]\n"),
        )
        .unwrap();
        fs::write(job.join("app.sh"), "log done\n").unwrap();
        let text = format!(
            "name: bench\ncomponents: [app]\njobs_dir: jobs\nsudo: false\nssh: {{user: {}, port: {}, \
             identity: {}, known_hosts: known}}\nserver: {{app: {{ip: 127.0.0.1}}}}\n",
            user(),
            proxy.port,
            server.path("client").display(),
        );
        fs::write(desk.path("cluster.yml"), text).unwrap();
        Bench { server, desk }
    }

    fn log(&self) -> PathBuf {
        self.desk.path("host/app.log")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        append(&self.log(), text.as_ref());
    }

    /// Starts a follower; what it prints goes to the file `out`, its notes to `notes`.
    fn follow(&self, more: &[&str]) -> Follower<'_> {
        let mut words = vec!["logs", "-f"];
        words.extend(more);
        let mut command = self.desk.command(&words);
        let out = |name: &str| File::create(self.desk.path(name)).unwrap();
        let child = command.stdout(out("out")).stderr(out("notes")).spawn();
        Follower {
            child: child.unwrap(),
            bench: self,
        }
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.desk.path(name)).unwrap_or_default()
    }

    fn await_text(&self, name: &str, text: &str) -> String {
        let otherwise = || {
            let (said, notes) = (self.text(name), self.text("notes"));
            let last = said.lines().last().unwrap_or_default().to_owned();
            format!("`{text}` never came; the last line: {last}\n{notes}")
        };
        await_that(|| self.text(name).contains(text), otherwise);
        self.text(name)
    }
}

struct Follower<'a> {
    child: Child,
    bench: &'a Bench,
}

impl Follower<'_> {
    /// Waits for a line, ends it as Ctrl-C does, and returns what it showed.
    fn until(mut self, text: &str) -> String {
        self.bench.await_text("out", text);
        signal(&self.child, "INT");
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
        self.bench.text("out")
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn await_that(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let until = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < until, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(bytes).unwrap();
}

fn line(number: usize) -> String {
    format!(
        "2026-11-25T09:00:00Z line {number} {}\n",
        "x".repeat(1 + number % 90)
    )
}

/// The numbers of the lines that were shown, in their order.
fn numbers(shown: &str) -> Vec<usize> {
    let lines = shown.lines().filter_map(|line| line.split_once(" line "));
    let words = lines.map(|(_, rest)| rest.split([' ', '"']).next().unwrap());
    words.map(|word| word.parse().unwrap()).collect()
}

fn assert_each_once(shown: &str, count: usize) {
    let numbers = numbers(shown);
    let wrong = (0..count).find(|number| numbers.get(*number) != Some(number));
    assert_eq!(wrong, None, "around it: {:?}", around(&numbers, wrong));
    assert_eq!(numbers.len(), count);
}

fn around(numbers: &[usize], at: Option<usize>) -> &[usize] {
    let from = at.unwrap_or_default().saturating_sub(3).min(numbers.len());
    &numbers[from..(from + 8).min(numbers.len())]
}

#[test]
fn every_line_comes_once_while_connections_are_cut_and_files_rotated() {
    // What is on its way when a connection is cut comes again, whole: a cut may be anywhere in it.
    let cuts: Vec<Fate> = (0..12).map(|n| Fate::CutDown(90_000 + n * 7_001)).collect();
    let bench = Bench::new(&cuts);
    bench.write(line(0));
    let follower = bench.follow(&["-n", "all"]);
    bench.await_text("out", " line 0 ");
    let rotated = |number: usize| bench.desk.path(&format!("host/app.log.{number}"));
    let mut written = 1;
    for round in 0..14 {
        for _ in 0..60 {
            for _ in 0..5 {
                bench.write(line(written));
                written += 1;
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        let shift = || {
            for number in (1..9).rev() {
                let _ = fs::rename(rotated(number), rotated(number + 1));
            }
        };
        match round % 4 {
            // As logrotate does it.
            1 => {
                shift();
                fs::rename(bench.log(), rotated(1)).unwrap();
            }
            // With copytruncate; the writer waits meanwhile.
            3 => {
                shift();
                fs::copy(bench.log(), rotated(1)).unwrap();
                File::create(bench.log()).unwrap();
            }
            _ => {}
        }
    }
    let shown = follower.until(&format!(" line {} ", written - 1));
    let notes = bench.text("notes");
    assert_each_once(&shown, written);
    let lost = notes.matches("trying again").count();
    assert!(lost >= 3, "{notes}");
    injected(lost, "connections cut while logs were followed");
    injected(7, "rotations while logs were followed");
}

#[test]
fn what_was_rotated_away_while_nobody_could_look_is_read() {
    let bench = Bench::new(&[]);
    (0..10).for_each(|number| bench.write(line(number)));
    let follower = bench.follow(&["-n", "all"]);
    bench.await_text("out", " line 9 ");
    // The machine's sshd goes away with all of its connections, and comes back after two rotations.
    let port = bench.server.port;
    signal(&bench.server.child, "KILL");
    end_sessions(port);
    bench.await_text("notes", "trying again");
    let rotated = |number: usize| bench.desk.path(&format!("host/app.log.{number}"));
    (10..20).for_each(|number| bench.write(line(number)));
    fs::rename(bench.log(), rotated(1)).unwrap();
    (20..30).for_each(|number| bench.write(line(number)));
    fs::rename(rotated(1), rotated(2)).unwrap();
    fs::rename(bench.log(), rotated(1)).unwrap();
    (30..40).for_each(|number| bench.write(line(number)));
    fs::rename(rotated(2), rotated(3)).unwrap();
    fs::rename(rotated(1), rotated(2)).unwrap();
    fs::copy(bench.log(), rotated(1)).unwrap();
    File::create(bench.log()).unwrap();
    (40..50).for_each(|number| bench.write(line(number)));
    let _again = restart(&bench.server);
    let follower_text = follower.until(" line 49 ");
    assert_each_once(&follower_text, 50);
    injected(3, "rotations while no log could be read");
}

/// Ends what an sshd started for connections to its port.
fn end_sessions(port: u16) {
    let listed = Command::new("ss")
        .args([
            "-Htnp",
            "state",
            "established",
            &format!("( sport = :{port} )"),
        ])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let pids = listed.split("pid=").skip(1);
    let pids: Vec<&str> = pids.map(|rest| rest.split(',').next().unwrap()).collect();
    assert!(!pids.is_empty(), "{listed}");
    for pid in pids {
        let _ = Command::new("kill").args(["-KILL", pid]).status();
    }
}

struct Again(Child);

impl Drop for Again {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn restart(server: &Server) -> Again {
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-f"])
        .arg(server.path("config"))
        .spawn();
    Again(child.unwrap())
}

#[test]
fn a_file_that_is_overwritten_emptied_or_made_anew_goes_on() {
    let bench = Bench::new(&[]);
    let follower = bench.follow(&["-n", "all"]);
    // It isn't there yet.
    bench.await_text("notes", "none of its files is there");
    bench.write(line(0));
    bench.await_text("out", " line 0 ");
    // Emptied, and longer again than it was, before anybody looks.
    let longer = (1..4).map(line).collect::<String>();
    fs::write(bench.log(), &longer).unwrap();
    bench.await_text("out", " line 3 ");
    // Taken away and made anew.
    fs::remove_file(bench.log()).unwrap();
    fs::write(bench.log(), line(4)).unwrap();
    bench.await_text("out", " line 4 ");
    File::create(bench.log()).unwrap();
    bench.write(line(5));
    let shown = follower.until(" line 5 ");
    assert_each_once(&shown, 6);
    injected(4, "logs overwritten, taken away and emptied");
}

#[test]
fn the_end_of_each_log_is_shown_with_its_json_made_readable() {
    let bench = Bench::new(&[]);
    bench.write(
        "{\"timestamp\":1764061200.5,\"message\":\"Started GET\",\"log_level\":\"info\",\"source\":\
         \"cc.api\",\"data\":{\"request_guid\":\"b8eb163b-0c25\"}}\n\
         {\"timestamp\":1764061201,\"message\":\"Announced\",\"source\":\"cf.registrar\"}\n\
         2025-11-25T09:00:02Z ERROR it broke\n\tat Server.java:1\n",
    );
    append(
        &bench.desk.path("host/app.stderr.log"),
        b"2025-11-25T09:00:01Z \x1b]0;evil\x07\xff\xfe\x1b[2J\r\n",
    );
    let ended = bench.desk.run(&["logs"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let body = |line: &str| line[19..].to_owned();
    let shown: Vec<String> = ended.out.lines().map(body).collect();
    assert_eq!(
        shown,
        [
            "127.0.0.1 app        [info] cc.api: (b8eb16) Started GET",
            "127.0.0.1 app/stderr \\u{1b}]0;evil\\u{7}\u{fffd}\u{fffd}",
            "127.0.0.1 app        ERROR it broke",
            "127.0.0.1 app            at Server.java:1",
        ],
        "{}",
        ended.out
    );
    assert!(
        ended.error.contains("1 heartbeat left out; --raw"),
        "{}",
        ended.error
    );

    let raw = bench.desk.run(&["logs", "--raw"]);
    assert!(
        raw.out.contains("cf.registrar") && raw.out.contains(r"\u{1b}[2J"),
        "{}",
        raw.out
    );
    for found in [
        &["logs", "--grep", "b8eb163b-0c25"],
        &["logs", "--grep", "(?i)started"],
    ] {
        let found = bench.desk.run(found);
        assert_eq!(found.out.lines().count(), 1, "{}", found.out);
    }
    let newest = bench.desk.run(&["logs", "-n", "1"]).out;
    assert!(
        newest.contains("it broke") && !newest.contains("Started"),
        "{newest}"
    );
    let since = bench
        .desk
        .run(&["logs", "--since", "2025-11-25T09:00:02Z"])
        .out;
    assert!(
        since.contains("Server.java:1") && !since.contains("evil"),
        "{since}"
    );

    let json = bench.desk.run(&["logs", "--output", "json"]).out;
    let objects: Vec<Value> = json
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(objects.len(), 3, "{json}");
    assert_eq!(objects[0]["request"], "b8eb163b-0c25");
    assert_eq!(objects[0]["time"], "2025-11-25T09:00:00.5Z");
    assert_eq!(objects[0]["host"], "127.0.0.1");
    assert_eq!(objects[2]["more"][0], "\tat Server.java:1");
}

#[test]
fn a_long_line_is_cut_and_a_long_log_is_read_from_its_end() {
    let bench = Bench::new(&[]);
    let lines = (0..40_000).map(line).collect::<String>();
    fs::write(bench.log(), lines).unwrap();
    bench.write(format!("2026-11-25T09:00:00Z {}\n", "y".repeat(100_000)));
    bench.write(line(40_000));
    // So many are looked for where so many usually are.
    let few = bench.desk.run(&["logs", "-n", "3"]);
    assert_eq!(numbers(&few.out), [40_000]);
    assert!(
        few.error.contains("app: fewer entries than"),
        "{}",
        few.error
    );
    let shown = bench.desk.run(&["logs", "-n", "30"]).out;
    assert_eq!(shown.lines().count(), 30);
    let long = shown.lines().nth(28).unwrap();
    assert!(
        long.ends_with(" more bytes)") && long.len() < 40_000,
        "{}",
        long.len()
    );
    assert_eq!(numbers(&shown)[27..], [39_999, 40_000]);
}

#[test]
fn ctrl_c_ends_it_at_once_and_leaves_nothing_on_the_host() {
    let bench = Bench::new(&[]);
    bench.write(line(0));
    let follower = bench.follow(&[]);
    bench.await_text("out", " line 0 ");
    let of_ours = format!("{}/host/app.log", bench.desk.folder.path().display());
    let is_read = || {
        let found = Command::new("pgrep").args(["-f", &of_ours]).output();
        !found.unwrap().stdout.is_empty()
    };
    await_that(is_read, || "nothing reads the log".to_owned());
    // What is held back is shown before it ends.
    bench.write(line(1));
    let shown = follower.until(" line 1 ");
    assert_each_once(&shown, 2);
    await_that(|| !is_read(), || "something still reads the log".to_owned());
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let bench = Bench::new(&[]);
    (0..100).for_each(|number| bench.write(line(number)));
    assert_eq!(bench.desk.run_unread(&["logs", "-f"]).code, 141);
    assert_eq!(bench.desk.run_on_full_disk(&["logs"]).code, 7);
}

#[test]
fn its_help_has_every_option_and_examples() {
    let help = Desk::seed().run(&["logs", "--help"]);
    assert_eq!(help.code, 0);
    for part in [
        "--follow",
        "--since",
        "--grep",
        "--lines",
        "--raw",
        "--limit",
        "Examples:",
    ] {
        assert!(help.out.contains(part), "{part}: {}", help.out);
    }
}

#[test]
fn what_cant_be_shown_is_told() {
    let bench = Bench::new(&[]);
    let none = bench.desk.run(&["logs"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""), "{none:?}");
    assert!(
        none.error.contains("app: none of its files is there"),
        "{}",
        none.error
    );
    for (words, said) in [
        (&["logs", "--grep", "("][..], "no regular expression"),
        (
            &["logs", "--since", "soon"],
            "neither a duration nor a time",
        ),
        (&["logs", "-n", "few"], "isn't a number"),
        (&["logs", "ap"], "app"),
    ] {
        let ended = bench.desk.run(words);
        assert_eq!(ended.code, 2, "{words:?}");
        assert!(ended.error.contains(said), "{words:?}: {}", ended.error);
    }
    // A job that says nothing anywhere.
    fs::write(bench.desk.path("jobs/app/job.yml"), "{}\n").unwrap();
    let ended = bench.desk.run(&["logs"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.error.contains("app: no log and no unit is declared"),
        "{}",
        ended.error
    );
}
