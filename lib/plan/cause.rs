//! What a failed step's output points at: the line of its template, and the lines of the cluster file
//! that the values in it came from.

use super::step::Step;
use crate::script::Input;

/// A shorter value is found in outputs by chance.
const SHORTEST_VALUE: usize = 4;

/// Lists what the last lines of a step's output point at, each as a line to show. `file` is the
/// cluster file as the operator named it.
pub fn pointers(step: &Step, tail: &[&str], file: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(line) = tail.iter().copied().filter_map(line_number).next_back() {
        found.extend(template_line(step, line));
    }
    for (name, input) in step.values.iter() {
        let (Some(place), Some(text)) = (input.place, shown(input)) else {
            continue;
        };
        if tail.iter().any(|line| line.contains(&text)) {
            found.push(format!("{text} is {name}, from {file}:{}", place.line));
        }
    }
    found
}

/// The text of a value that may be named; a secret may not.
fn shown(input: &Input) -> Option<String> {
    let text = match &input.value {
        _ if input.secret => return None,
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (text.len() >= SHORTEST_VALUE && text != "true" && text != "false").then_some(text)
}

/// Reads the line's number from a complaint of the shell: `…/script: 12: nosuch: not found`.
fn line_number(complaint: &str) -> Option<usize> {
    let (_, rest) = complaint.split_once("/script: ")?;
    rest.split_once(':')?.0.parse().ok()
}

/// Says which line of the script that is, and of which template, if only one can have made it.
fn template_line(step: &Step, number: usize) -> Option<String> {
    let line = step.script.lines().nth(number.checked_sub(1)?)?.trim();
    if step.redact.iter().any(|secret| line.contains(secret)) {
        return Some(format!("line {number} of the script, which holds a secret"));
    }
    let made = step.template.as_ref().and_then(|(path, text)| {
        let mut lines = text
            .lines()
            .zip(1..)
            .filter(|(t, _)| can_make(t.trim(), line));
        match (lines.next(), lines.next()) {
            (Some((_, at)), None) => Some(format!("{path}:{at}")),
            _ => None,
        }
    });
    Some(match made {
        Some(place) => format!("{place}: {line}"),
        None => format!("line {number} of the script: {line}"),
    })
}

/// Tells whether a template's line can have become this one: its fixed parts stand in it in order.
fn can_make(template: &str, line: &str) -> bool {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((fixed, more)) = rest.split_once("{{") {
        parts.push(fixed);
        rest = more.split_once("}}").map_or("", |(_, after)| after);
    }
    if parts.is_empty() {
        return template == line && !line.is_empty();
    }
    let Some(mut line) = line
        .strip_prefix(parts[0])
        .and_then(|l| l.strip_suffix(rest))
    else {
        return false;
    };
    // A line of nothing but values can make anything.
    let fixed: usize = parts.iter().map(|part| part.trim().len()).sum();
    fixed + rest.trim().len() >= 3
        && parts[1..].iter().all(|part| match line.find(part) {
            Some(at) => {
                line = &line[at + part.len()..];
                true
            }
            None => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_file::Place;
    use crate::plan::{Mode, Reason, StepId};

    fn step(script: &str) -> Step {
        let id = StepId {
            step: "nats".into(),
            host: "10.0.0.1".parse().unwrap(),
        };
        let mut step = Step::without_script(id, Mode::Supervised, Reason::New);
        step.script = script.into();
        step.template = Some((
            "nats/nats.sh".into(),
            "# nats\nset_port {{ port }} on {{ ip }}\nstart\n".into(),
        ));
        step.values
            .set_from("nats_ip", "10.0.0.9", Place::new(17, 3));
        step.values.set_secret("password", "hunter2");
        step.redact.push("hunter2".into());
        step
    }

    #[test]
    fn a_complaint_of_the_shell_leads_to_the_template() {
        let step = step("prelude\nprelude\nset_port 4222 on 10.0.0.9\nstart\n");
        let tail = ["/runs/r/nats/script: 3: set_port: not found"];
        assert_eq!(
            pointers(&step, &tail, "c.yml"),
            ["nats/nats.sh:2: set_port 4222 on 10.0.0.9"]
        );
        let tail = ["/runs/r/nats/script: 1: prelude: not found"];
        assert_eq!(
            pointers(&step, &tail, "c.yml"),
            ["line 1 of the script: prelude"]
        );
    }

    #[test]
    fn values_in_the_output_lead_to_the_cluster_file_and_secrets_nowhere() {
        let step = step("login hunter2\n");
        let tail = [
            "can't reach 10.0.0.9 with hunter2",
            "x/script: 1: login: not found",
        ];
        assert_eq!(
            pointers(&step, &tail, "c.yml"),
            [
                "line 1 of the script, which holds a secret",
                "10.0.0.9 is nats_ip, from c.yml:17"
            ]
        );
    }
}
