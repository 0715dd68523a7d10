//! What was built by somebody else: recognised by the hosts' own account, and noted in receipts
//! without a run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use askama::Template;
use serde::{Deserialize, Serialize};

use super::step::{Mode, Reason, Step, StepId};
use crate::script::shell_word;

/// In what something that was adopted differs from what a run makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "differs")]
pub enum Difference {
    /// A setting in one of the release's own files.
    Setting {
        /// The file, below the release.
        file: String,
        /// The key.
        key: String,
        /// What it is; `None` where it may be a secret.
        found: Option<String>,
        /// What a run sets; likewise.
        wanted: Option<String>,
    },
    /// It has no unit of systemd, so it wouldn't come back after a reboot.
    Unit {
        /// The unit that a run gives it.
        unit: String,
    },
    /// A secret of the job can't be read back.
    Secret {
        /// Its name.
        name: String,
    },
    /// Its settings can't be compared, only its health.
    NotCompared,
}

impl Difference {
    /// Says it for people; no secret is in it.
    pub fn words(&self) -> String {
        match self {
            Difference::Setting {
                file,
                key,
                found: Some(found),
                wanted: Some(wanted),
            } => format!("{file}: {key} is {found}, the build sets {wanted}"),
            Difference::Setting { file, key, .. } => {
                format!("{file}: {key} is another (not shown, it may be secret), the build sets it")
            }
            Difference::Unit { unit } => {
                format!("has no unit, so a reboot ends it; the build starts it anew under {unit}")
            }
            Difference::Secret { name } => {
                format!("the secret {name} can't be read back; the build sets the cluster's own")
            }
            Difference::NotCompared => {
                "its settings can't be compared, only its health; the build sets them".to_owned()
            }
        }
    }
}

/// The look at one step: a script that changes nothing.
#[derive(Debug, Clone)]
pub struct Recognition {
    /// Which step.
    pub id: StepId,
    /// What is run: 0 where it's recognised, or else a reason in its last line.
    pub script: String,
    /// Whether it compares the settings.
    pub compares: bool,
    /// The names of the secrets that the step's script holds.
    pub secrets: Vec<String>,
}

/// What a host said of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Recognised {
    /// It's there, and differs in this from what a run makes.
    Found {
        /// In what.
        differs: Vec<Difference>,
    },
    /// It isn't, and here is why.
    Missing {
        /// In the host's words.
        why: String,
    },
}

/// What a host prints before each line of a step, and of its end.
const HEAD: &str = "step";

/// Makes the questions to the hosts, one for each, of these steps.
pub fn adoption(looks: &[Recognition]) -> Vec<Step> {
    let mut scripts: BTreeMap<IpAddr, String> = BTreeMap::new();
    for look in looks {
        let script = scripts
            .entry(look.id.host)
            .or_insert_with(|| "set -eu\n".to_owned());
        let (name, text) = (shell_word(&look.id.step), shell_word(&look.script));
        // One after the other: they look for the same processes.
        script.push_str(&format!(
            "status=0\nsaid=$(printf '%s\\n' {text} | timeout -k 5 60 sh 2>&1) || status=$?\n\
             printf '%s\\n' \"$said\" | cut -c 1-2000 | head -n 200 | while IFS= read -r line; do printf '{HEAD}\\t%s\\tsaid\\t%s\\n' {name} \"$line\"; done\n\
             printf '{HEAD}\\t%s\\tended\\t%s\\n' {name} \"$status\"\n"
        ));
    }
    let ask = |(host, script)| query("recognise", host, script);
    scripts.into_iter().map(ask).collect()
}

fn query(name: &str, host: IpAddr, script: String) -> Step {
    let id = StepId {
        step: name.to_owned(),
        host,
    };
    let reason = Reason::Asked {
        what: name.to_owned(),
    };
    Step {
        script,
        ..Step::without_script(id, Mode::Query, reason)
    }
}

/// Reads what a host said of one step; `None` where it said nothing whole of it.
pub fn answers(output: &str, look: &Recognition) -> Option<Recognised> {
    let mut said = Vec::new();
    let mut ended = None;
    for line in output.lines() {
        let mut words = line.splitn(4, '\t');
        if words.next() != Some(HEAD) || words.next() != Some(&look.id.step) {
            continue;
        }
        match (words.next(), words.next()) {
            (Some("said"), Some(line)) => said.push(line),
            (Some("ended"), Some(status)) => ended = Some(status),
            _ => {}
        }
    }
    if ended? != "0" {
        let last = said.last().copied().unwrap_or("no reason given");
        let why = last.strip_prefix("error: ").unwrap_or(last).to_owned();
        return Some(Recognised::Missing { why });
    }
    let mut differs: Vec<Difference> = said.iter().filter_map(|line| difference(line)).collect();
    let secrets = look.secrets.iter().cloned();
    differs.extend(secrets.map(|name| Difference::Secret { name }));
    if !look.compares {
        differs.push(Difference::NotCompared);
    }
    Some(Recognised::Found { differs })
}

fn difference(line: &str) -> Option<Difference> {
    if let Some(unit) = line.strip_prefix("unit ") {
        let unit = unit.to_owned();
        return Some(Difference::Unit { unit });
    }
    let mut words = line.split('\t');
    if words.next() != Some("differs") {
        return None;
    }
    Some(Difference::Setting {
        file: words.next()?.to_owned(),
        key: words.next()?.to_owned(),
        found: words.next().map(str::to_owned),
        wanted: words.next().map(str::to_owned),
    })
}

/// `deploy/adopt.sh`.
#[derive(Template, Serialize)]
#[template(path = "adopt.sh", config = "config/askama.toml")]
struct AdoptScript<'a> {
    steps: Vec<AdoptedStep<'a>>,
}

#[derive(Serialize)]
struct AdoptedStep<'a> {
    name: &'a str,
    receipt: String,
}

impl Recognised {
    /// Makes the step that writes a host's receipts, of the steps that were found there.
    ///
    /// # Errors
    /// Why the script can't be rendered.
    pub fn receipts(host: IpAddr, found: &[(&Step, &[Difference])]) -> Result<Step, String> {
        let steps = found.iter().map(|(step, differs)| AdoptedStep {
            name: &step.id.step,
            receipt: format!(
                "{},\"adopted\":{}",
                step.receipt,
                serde_json::to_string(differs).expect("differences are plain data")
            ),
        });
        let script = AdoptScript {
            steps: steps.collect(),
        };
        let script = script
            .render()
            .map_err(|error| format!("deploy/adopt.sh: {error}"))?;
        Ok(query("adopt", host, script))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Recognition {
        Recognition {
            id: StepId {
                step: "nats".to_owned(),
                host: "10.0.0.1".parse().unwrap(),
            },
            script: String::new(),
            compares: true,
            secrets: vec!["token".to_owned()],
        }
    }

    #[test]
    fn what_a_host_says_is_read_and_half_of_it_is_nothing() {
        let said = "step\tnats\tsaid\tunit paas-cluster-nats.service\n\
            step\tnats\tsaid\tdiffers\tjobs/n.yml\tnet\t0.0.0.0\t10.0.0.1\nstep\tuaa\tended\t1\n";
        assert_eq!(answers(said, &look()), None);
        let whole = format!("{said}step\tnats\tended\t0\n");
        let Some(Recognised::Found { differs }) = answers(&whole, &look()) else {
            panic!("it's found");
        };
        let words: Vec<String> = differs.iter().map(Difference::words).collect();
        assert_eq!(words.len(), 3, "{words:?}");
        assert!(words[1].contains("net is 0.0.0.0, the build sets 10.0.0.1"));
        let said = "step\tnats\tsaid\terror: no\nstep\tnats\tended\t1\n";
        let why = "no".to_owned();
        assert_eq!(answers(said, &look()), Some(Recognised::Missing { why }));
    }
}
