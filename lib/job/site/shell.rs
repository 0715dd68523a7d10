//! What the shells of this machine say of a site's scripts, before a host runs any of them: `sh -n`
//! reads each branch of each template and each command of job.yml, and shellcheck, where it's
//! installed, looks for errors. Nothing is run.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::SiteJobError;
use super::folder::{self, JobFolder, Text};
use crate::cluster_file::{At, CheckEntry, Place, Problem, sort_problems};
use crate::script::{Trial, trials};

/// How long reading one script may take. It takes milliseconds; this is for a machine that is ill.
const LIMIT: Duration = Duration::from_secs(30);

/// Lets the shells of this machine read the scripts of all jobs in a folder.
///
/// A job that can't be read otherwise is passed over, and so is a program that isn't installed here.
pub fn read_by_shells(folder: &Path) -> Vec<SiteJobError> {
    let folders = folder::folders(folder).unwrap_or_default();
    let jobs = folders.iter().filter_map(|path| folder::read(path).ok());
    jobs.flat_map(|job| read_job(&job)).collect()
}

fn read_job(job: &JobFolder) -> Vec<SiteJobError> {
    let mut errors = Vec::new();
    let commands = job.file.health.iter().filter_map(|check| match check {
        CheckEntry::Command(line) => Some(line),
        CheckEntry::Tcp(_) | CheckEntry::Http { .. } => None,
    });
    let problems: Vec<Problem> = commands
        .chain(&job.file.leader)
        .filter_map(read_command)
        .collect();
    errors.extend(at(&job.yml, problems));
    for template in [Some(&job.template), job.removal.as_ref()]
        .into_iter()
        .flatten()
    {
        let trials = trials(&template.text);
        let mut problems: Vec<Problem> = trials
            .iter()
            .filter_map(|trial| read_trial(trial, &template.text))
            .collect();
        // What isn't shell, shellcheck can't read either.
        if problems.is_empty() {
            problems.extend(shellcheck(&trials, &template.text));
        }
        errors.extend(at(template, problems));
    }
    errors
}

fn at(file: &Text, mut problems: Vec<Problem>) -> Option<SiteJobError> {
    sort_problems(&mut problems);
    (!problems.is_empty()).then(|| SiteJobError::at(file.path.clone(), &file.text, problems))
}

fn read_command(line: &At<String>) -> Option<Problem> {
    let (_, said) = complaint(&line.value)?;
    let message = format!("the shell can't read this command: {said}");
    Some(Problem::new(line.place, line.len, message))
}

fn read_trial(trial: &Trial, template: &str) -> Option<Problem> {
    let (line, said) = complaint(&trial.script)?;
    let place = Place::new(trial.template_line(line.unwrap_or(1)), 1);
    let message = format!("the shell can't read this script: {said}");
    let help = "it's read with every block taken, with none, and without each one; the mistake \
                may be above this line";
    Some(whole_line(template, place, message).help(help))
}

/// A problem with a whole line of a template, its indentation left out.
fn whole_line(template: &str, place: Place, message: String) -> Problem {
    let line = template
        .lines()
        .nth(place.line as usize - 1)
        .unwrap_or_default();
    let shown = line.trim();
    let indentation = line.chars().take_while(|c| c.is_whitespace()).count();
    let column = u32::try_from(indentation)
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let place = Place::new(place.line, column);
    Problem::new(place, shown.chars().count().max(1), message)
}

/// What `sh -n` says against a script: the line, if it names one, and its words.
fn complaint(script: &str) -> Option<(Option<u32>, String)> {
    let mut command = Command::new("sh");
    command.arg("-n");
    let Ended { status, said } = ended(command, script)?;
    if status.is_some_and(|status| status.success()) {
        return None;
    }
    if status.is_none() {
        return Some((
            None,
            format!("`sh -n` didn't end within {} s", LIMIT.as_secs()),
        ));
    }
    let first = said.lines().next().unwrap_or("it doesn't say why");
    // dash: `sh: 3: Syntax error: …`; bash: `sh: line 3: …`.
    let mut parts = first.splitn(3, ": ");
    let parsed = (parts.next(), parts.next(), parts.next());
    if let (Some(_), Some(line), Some(words)) = parsed
        && let Ok(line) = line.trim_start_matches("line ").parse()
    {
        return Some((Some(line), words.to_owned()));
    }
    Some((None, first.to_owned()))
}

/// What shellcheck calls an error in a template's scripts.
fn shellcheck(trials: &[Trial], template: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for trial in trials.iter().take(2) {
        let mut command = Command::new("shellcheck");
        command.args(["--norc", "-s", "sh", "-S", "error", "-f", "gcc", "-"]);
        let Some(ended) = ended(command, &trial.script) else {
            return Vec::new();
        };
        // `-:3:10: error: what is wrong [SC1234]`
        for line in ended.said.lines() {
            let Some((place, said)) = line.split_once(": error: ") else {
                continue;
            };
            let number = place.trim_start_matches("-:").split(':').next();
            let line = number.and_then(|n| n.parse().ok()).unwrap_or(1);
            let place = Place::new(trial.template_line(line), 1);
            let message = format!("shellcheck: {}", said.trim_end_matches('.'));
            let help = "a line `# shellcheck disable=SC…` above it says that it's meant";
            problems.push(whole_line(template, place, message).help(help));
        }
    }
    problems
}

/// How a program ended: without a status if it had to be ended; and all it said.
struct Ended {
    status: Option<ExitStatus>,
    said: String,
}

/// Runs a program that reads `input`; nothing where it isn't installed.
fn ended(mut command: Command, input: &str) -> Option<Ended> {
    // It needs nothing of this process's environment, which may hold secrets.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let child = command
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.ok()?;
    let mut stdin = child.stdin.take()?;
    let (stdout, stderr) = (child.stdout.take()?, child.stderr.take()?);
    let input = input.to_owned();
    // It may end before it has read all; that is no error of ours.
    thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let (sender, receiver) = mpsc::channel();
    send_all(stdout, sender.clone());
    send_all(stderr, sender);
    let mut said = String::new();
    for _ in 0..2 {
        match receiver.recv_timeout(LIMIT) {
            Ok(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Some(Ended { status: None, said });
            }
        }
    }
    Some(Ended {
        status: child.wait().ok(),
        said,
    })
}

/// Reads to the end, and sends what was read.
fn send_all(mut from: impl Read + Send + 'static, to: mpsc::Sender<Vec<u8>>) {
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = from.read_to_end(&mut said);
        let _ = to.send(said);
    });
}
