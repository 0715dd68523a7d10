//! Whether a step runs, and why: the values and the script now against the receipt.

use std::collections::BTreeMap;

use super::facts::HostFacts;
use super::receipt::{RecordedInput, record, sha256_hex};
use super::step::{Decision, Reason};
use crate::script::Values;

/// Words for a step that isn't run.
const UNCHANGED: &str = "unchanged since its last run, and healthy";

/// Compares a step with what its host remembers.
pub(super) fn decide(step: &str, script: &str, values: &Values, host: &HostFacts) -> Decision {
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
    let changed = changed_values(&receipt.stamp.inputs, values);
    if changed.is_empty() && receipt.stamp.script_sha256 != sha256_hex(script.as_bytes()) {
        reasons.push(Reason::ScriptChanged);
    }
    reasons.extend(changed);
    if reasons.is_empty()
        && let Some(Err(why)) = host.health.get(step)
    {
        reasons.push(Reason::Unhealthy { why: why.clone() });
    }
    if reasons.is_empty() {
        Decision::Skip(UNCHANGED.to_owned())
    } else {
        Decision::Run(reasons)
    }
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
