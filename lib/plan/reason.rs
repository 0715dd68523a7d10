//! Whether a step runs, and why: the values and the script now against the receipt.

use std::collections::BTreeMap;

use super::facts::HostFacts;
use super::receipt::{RecordedInput, record, sha256_hex};
use super::step::{Decision, Reason};
use crate::script::Values;

/// Words for a step that isn't run.
const UNCHANGED: &str = "unchanged since its last run, and healthy";

/// The same for one that this tool has never run.
const ADOPTED: &str = "adopted, unchanged";

/// What a step is made of now.
pub(super) struct Made<'a> {
    /// Its script.
    pub script: &'a str,
    /// What the script is made of.
    pub values: &'a Values,
    /// The files that it's written in: the path to show, and the text.
    pub sources: &'a [(&'a str, &'a str)],
}

/// Names the files as receipts have them: operators keep them in folders of their own.
pub(super) fn recorded_sources(sources: &[(&str, &str)]) -> BTreeMap<String, String> {
    let record = |(path, text): &(&str, &str)| (recorded_name(path), sha256_hex(text.as_bytes()));
    sources.iter().map(record).collect()
}

/// A file's name with that of its folder.
fn recorded_name(path: &str) -> String {
    let mut parts: Vec<&str> = path.rsplit('/').take(2).collect();
    parts.reverse();
    parts.join("/")
}

/// Compares a step with what its host remembers. Where the last run failed, that is what it was made
/// of when it last went well, if it ever did.
pub(super) fn decide(step: &str, made: &Made<'_>, host: &HostFacts) -> Decision {
    let Some(receipt) = host.receipts.get(step) else {
        return Decision::Run(vec![Reason::New]);
    };
    let mut reasons = Vec::new();
    if let Some(why) = &receipt.stopped {
        reasons.push(Reason::LastStopped { why: why.clone() });
    } else if receipt.status != 0 {
        reasons.push(Reason::LastFailed {
            status: receipt.status,
        });
    }
    let stamp = &receipt.stamp;
    match receipt.last_good() {
        Some(good) if !receipt.is_good() => {
            let changed = changes(&good.inputs, &good.script_sha256, &good.sources, made);
            reasons.push(Reason::SinceGood {
                run: good.run,
                differs: !changed.is_empty(),
            });
            reasons.extend(changed);
        }
        _ => reasons.extend(changes(
            &stamp.inputs,
            &stamp.script_sha256,
            &stamp.sources,
            made,
        )),
    }
    let adopted = stamp.adopted.iter().flatten().cloned();
    reasons.extend(adopted.map(|difference| Reason::Adopted { difference }));
    if reasons.is_empty()
        && let Some(Err(why)) = host.health.get(step)
    {
        reasons.push(Reason::Unhealthy { why: why.clone() });
    }
    if reasons.is_empty() && stamp.adopted.is_some() {
        Decision::Skip(ADOPTED.to_owned())
    } else if reasons.is_empty() {
        Decision::Skip(UNCHANGED.to_owned())
    } else {
        Decision::Run(reasons)
    }
}

/// Names everything in which a step differs from what it was made of then.
fn changes(
    inputs: &BTreeMap<String, RecordedInput>,
    script_sha256: &str,
    sources: &BTreeMap<String, String>,
    made: &Made<'_>,
) -> Vec<Reason> {
    let mut changed = Vec::new();
    for (path, text) in made.sources {
        let before = sources.get(&recorded_name(path));
        if before.is_some_and(|digest| *digest != sha256_hex(text.as_bytes())) {
            changed.push(Reason::FileChanged {
                file: (*path).to_owned(),
            });
        }
    }
    // A file whose change makes no other script is no reason.
    let same_script = script_sha256 == sha256_hex(made.script.as_bytes());
    if same_script {
        changed.clear();
    }
    let values = changed_values(inputs, made.values);
    if changed.is_empty() && values.is_empty() && !same_script {
        changed.push(Reason::ScriptChanged);
    }
    changed.extend(values);
    changed
}

/// Names each value that is new, gone or different, in the order in which the job names them.
fn changed_values(old: &BTreeMap<String, RecordedInput>, values: &Values) -> Vec<Reason> {
    let new = record(values);
    let mut reasons = Vec::new();
    for (name, input) in values.iter() {
        if old.get(name) != new.get(name) {
            reasons.push(Reason::ValueChanged {
                name: name.to_owned(),
                from: old.get(name).and_then(RecordedInput::shown),
                to: new.get(name).and_then(RecordedInput::shown),
                place: input.place,
                provider: None,
            });
        }
    }
    for (name, gone) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        reasons.push(Reason::ValueChanged {
            name: name.clone(),
            from: gone.shown(),
            to: None,
            place: None,
            provider: None,
        });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::super::receipt::{Receipt, RunIdentity, Stamp};
    use super::*;
    use crate::cluster_file::Place;

    const SCRIPT: &str = "start nats\n";

    fn values(address: &str) -> Values {
        let mut values = Values::new();
        values.set_from("nats_ip", address, Place::new(17, 9));
        values.set("port", 4222);
        values
    }

    /// Decides about a step that is written in one file.
    fn decide(step: &str, script: &str, values: &Values, host: &HostFacts) -> Decision {
        let made = Made {
            script,
            values,
            sources: &[("jobs/nats/nats.sh", script)],
        };
        super::decide(step, &made, host)
    }

    fn host(status: i32, health: Result<(), String>) -> HostFacts {
        let run = RunIdentity {
            id: "r".into(),
            operator: "ada".into(),
            workstation: "desk".into(),
        };
        let receipt = Receipt {
            stopped: None,
            stamp: Stamp::new("nats", "deploy", SCRIPT, &values("10.0.0.1"), &run),
            status,
            started: 1,
            finished: 1_700_000_000,
            boot_id: "b".into(),
        };
        HostFacts {
            receipts: [("nats".to_owned(), receipt)].into(),
            health: [("nats".to_owned(), health)].into(),
            ..HostFacts::default()
        }
    }

    #[test]
    fn without_a_receipt_it_is_new() {
        let decision = decide("nats", SCRIPT, &values("10.0.0.1"), &HostFacts::default());
        assert_eq!(decision, Decision::Run(vec![Reason::New]));
    }

    #[test]
    fn unchanged_and_healthy_is_skipped() {
        let decision = decide("nats", SCRIPT, &values("10.0.0.1"), &host(0, Ok(())));
        assert_eq!(decision, Decision::Skip(UNCHANGED.to_owned()));
    }

    #[test]
    fn a_changed_value_is_named_with_its_place() {
        let decision = decide("nats", "other\n", &values("10.0.0.2"), &host(0, Ok(())));
        let expected = Reason::ValueChanged {
            name: "nats_ip".into(),
            from: Some("10.0.0.1".into()),
            to: Some("10.0.0.2".into()),
            place: Some(Place::new(17, 9)),
            provider: None,
        };
        assert_eq!(decision, Decision::Run(vec![expected]));
    }

    #[test]
    fn the_same_values_in_another_script_are_a_changed_script() {
        let decision = decide("nats", "other\n", &values("10.0.0.1"), &host(0, Ok(())));
        assert_eq!(decision, Decision::Run(vec![Reason::ScriptChanged]));
    }

    fn good_host() -> HostFacts {
        let mut good = host(0, Ok(()));
        let receipt = good.receipts.get_mut("nats").unwrap();
        receipt.stamp.sources = recorded_sources(&[("elsewhere/nats/nats.sh", SCRIPT)]);
        good
    }

    #[test]
    fn an_edited_file_is_named_wherever_the_operator_keeps_it() {
        let good = good_host();
        let same = decide("nats", SCRIPT, &values("10.0.0.1"), &good);
        assert_eq!(same, Decision::Skip(UNCHANGED.to_owned()));
        let edited = decide("nats", "other\n", &values("10.0.0.1"), &good);
        let file = "jobs/nats/nats.sh".to_owned();
        assert_eq!(edited, Decision::Run(vec![Reason::FileChanged { file }]));
    }

    #[test]
    fn after_failures_it_is_compared_with_the_run_that_went_well() {
        let mut before = good_host().receipts.remove("nats").unwrap();
        // Twice in a row, each time with another value.
        for address in ["10.0.0.2", "10.0.0.3"] {
            let run = RunIdentity {
                id: format!("with {address}"),
                operator: "ada".into(),
                workstation: "desk".into(),
            };
            let stamp = Stamp::new("nats", "deploy", address, &values(address), &run);
            before = Receipt {
                stamp: stamp.with_past(before.stamp.sources.clone(), Some(&before)),
                status: 1,
                ..before
            };
        }
        let failed = HostFacts {
            receipts: [("nats".to_owned(), before)].into(),
            ..HostFacts::default()
        };
        let Decision::Run(reasons) = decide("nats", "third\n", &values("10.0.0.3"), &failed) else {
            panic!("it has to run");
        };
        assert_eq!(reasons[0], Reason::LastFailed { status: 1 });
        let run = "r".to_owned();
        assert_eq!(reasons[1], Reason::SinceGood { run, differs: true });
        assert!(
            reasons.iter().any(|reason| matches!(reason,
                Reason::ValueChanged { from: Some(from), to: Some(to), .. }
                    if from == "10.0.0.1" && to == "10.0.0.3")),
            "{reasons:?}"
        );
        let Decision::Run(back) = decide("nats", SCRIPT, &values("10.0.0.1"), &failed) else {
            panic!("it has to run");
        };
        let same = Reason::SinceGood {
            run: "r".to_owned(),
            differs: false,
        };
        assert_eq!(back, [Reason::LastFailed { status: 1 }, same]);
    }

    #[test]
    fn a_failed_or_unhealthy_step_runs_again() {
        let failed = decide("nats", SCRIPT, &values("10.0.0.1"), &host(3, Ok(())));
        assert_eq!(
            failed,
            Decision::Run(vec![Reason::LastFailed { status: 3 }])
        );
        let ill = decide(
            "nats",
            SCRIPT,
            &values("10.0.0.1"),
            &host(0, Err("no answer".into())),
        );
        assert_eq!(
            ill,
            Decision::Run(vec![Reason::Unhealthy {
                why: "no answer".into()
            }])
        );
    }
}
