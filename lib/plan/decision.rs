//! Whether a step runs, as it's written to journals, kept plans and programs: the reasons are always
//! a list of objects, each with a `reason` to branch on.

use serde::{Deserialize, Serialize};

use super::step::{Decision, Reason};

/// A [`Decision`] as it's written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision", content = "reasons")]
pub(super) enum Written {
    Run(Vec<Reason>),
    Skip(Skipped),
}

/// Why a step is skipped: a list, or the bare text that earlier versions wrote.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Skipped {
    List(Vec<NothingToDo>),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "reason", rename = "nothing_to_do")]
pub(super) struct NothingToDo {
    why: String,
}

impl From<Decision> for Written {
    fn from(decision: Decision) -> Written {
        match decision {
            Decision::Run(reasons) => Written::Run(reasons),
            Decision::Skip(why) => Written::Skip(Skipped::List(vec![NothingToDo { why }])),
        }
    }
}

impl From<Written> for Decision {
    fn from(written: Written) -> Decision {
        match written {
            Written::Run(reasons) => Decision::Run(reasons),
            Written::Skip(Skipped::Text(why)) => Decision::Skip(why),
            Written::Skip(Skipped::List(reasons)) => {
                let whys: Vec<String> = reasons.into_iter().map(|reason| reason.why).collect();
                Decision::Skip(whys.join("; "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn reasons_are_a_list_of_objects_and_older_texts_are_read() {
        let skip = Decision::Skip("unchanged".to_owned());
        let written = json!({
            "decision": "skip", "reasons": [{"reason": "nothing_to_do", "why": "unchanged"}],
        });
        assert_eq!(to_value(&skip).unwrap(), written);
        assert_eq!(from_value::<Decision>(written).unwrap(), skip);
        let older = json!({"decision": "skip", "reasons": "unchanged"});
        assert_eq!(from_value::<Decision>(older).unwrap(), skip);
        let run = Decision::Run(vec![Reason::New]);
        let written = json!({"decision": "run", "reasons": [{"reason": "new"}]});
        assert_eq!(to_value(&run).unwrap(), written);
        assert_eq!(from_value::<Decision>(written).unwrap(), run);
    }
}
