//! What was built by somebody else: recognised by the hosts' own account, and noted in receipts
//! without a run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use askama::Template;
use serde::{Deserialize, Serialize};

use super::step::{Mode, Reason, Step, StepId};
use crate::job::HOME;
use crate::operation::BOOTSTRAP;
use crate::script::{Values, shell_word};

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
    /// Packages that aren't installed.
    Packages {
        /// As the cluster file and the release want them.
        names: Vec<String>,
    },
    /// The release there isn't the one that the cluster file names.
    Release {
        /// What it says as its version; empty where it says none.
        version: String,
        /// How many files are missing or others.
        count: u64,
        /// The first of them.
        files: Vec<String>,
    },
    /// It isn't prepared, or with another release: the build puts the release there, and sets all anew
    /// in it.
    NewRelease,
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
            Difference::Packages { names } => {
                let missing = names.join(", ");
                format!("packages are missing: {missing}; the build installs them")
            }
            Difference::Release {
                version,
                count,
                files,
            } => {
                let version = match version.as_str() {
                    "" => String::new(),
                    version => format!(" ({version})"),
                };
                let others = count.saturating_sub(files.len() as u64);
                let more = match others {
                    0 => String::new(),
                    others => format!(" and {others} more"),
                };
                format!(
                    "the release there{version} is another than the cluster file's, in {}{more}; the \
                     build replaces it",
                    files.join(", ")
                )
            }
            Difference::NewRelease => {
                "the build puts the cluster file's release there, and sets everything in it"
                    .to_owned()
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
    /// The names of the secrets that the step's script holds and that stand in no file of the release,
    /// so that they can't be compared.
    pub secrets: Vec<String>,
    /// Whether it drives the release, so that another release is a change of it.
    pub of_release: bool,
}

/// What a host said of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Recognised {
    /// It's there, and differs in this from what a run makes.
    Found {
        /// In what.
        differs: Vec<Difference>,
        /// What couldn't be looked at, and is taken for right.
        taken: Vec<String>,
    },
    /// It isn't, and here is why.
    Missing {
        /// In the host's words.
        why: String,
    },
}

impl Recognised {
    /// Tells whether a machine was found with the release that the cluster file names.
    pub fn has_the_release(&self) -> bool {
        let is_another = |one: &Difference| matches!(one, Difference::Release { .. });
        match self {
            Recognised::Found { differs, .. } => !differs.iter().any(is_another),
            Recognised::Missing { .. } => false,
        }
    }
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
    let mut taken = Vec::new();
    if said.contains(&"unchecked") {
        taken.push(
            "the release there can't be compared with the cluster file's, and is taken for it"
                .to_owned(),
        );
    }
    Some(Recognised::Found { differs, taken })
}

fn difference(line: &str) -> Option<Difference> {
    if let Some(unit) = line.strip_prefix("unit ") {
        let unit = unit.to_owned();
        return Some(Difference::Unit { unit });
    }
    let mut words = line.split('\t').map(str::to_owned);
    match words.next()?.as_str() {
        "differs" => Some(Difference::Setting {
            file: words.next()?,
            key: words.next()?,
            found: words.next(),
            wanted: words.next(),
        }),
        "packages" => {
            let names = words.next()?;
            let names = names.split_whitespace().map(str::to_owned).collect();
            Some(Difference::Packages { names })
        }
        "release" => Some(Difference::Release {
            version: words.next()?,
            count: words.next()?.trim().parse().ok()?,
            files: words.collect(),
        }),
        _ => None,
    }
}

/// `deploy/adopt.sh`.
#[derive(Template, Serialize)]
#[template(path = "adopt.sh", config = "config/askama.toml")]
struct AdoptScript<'a> {
    user: &'a str,
    home: &'a str,
    marks: Vec<Mark>,
    steps: Vec<AdoptedStep<'a>>,
}

/// A file by which bootstrap knows a package of the release; an empty text takes it away.
#[derive(Serialize)]
struct Mark {
    name: &'static str,
    text: String,
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
        let bootstrap = found.iter().find(|(step, _)| step.id.step == BOOTSTRAP);
        let text = |name| bootstrap.map_or("", |(step, _)| text_of(&step.values, name));
        let script = AdoptScript {
            user: text("user"),
            home: text("home"),
            marks: bootstrap.map_or(Vec::new(), |(step, differs)| marks(step, differs)),
            steps: steps.collect(),
        };
        let script = script
            .render()
            .map_err(|error| format!("deploy/adopt.sh: {error}"))?;
        Ok(query("adopt", host, format!("#!/bin/sh\n{HOME}\n{script}")))
    }
}

/// By what bootstrap is to know the packages that are there.
fn marks(step: &Step, differs: &[Difference]) -> Vec<Mark> {
    let is_another = |one: &Difference| matches!(one, Difference::Release { .. });
    let text = |name| text_of(&step.values, name);
    let release = match (text("release_git"), text("release_sha256")) {
        ("", digest) => digest.to_owned(),
        (url, _) => format!("{url} {}", text("release_ref")),
    };
    let micro_paas = text("micro_paas_sha256");
    let mut marks = Vec::new();
    if !micro_paas.is_empty() {
        marks.push(Mark {
            name: ".micro-paas",
            text: micro_paas.to_owned(),
        });
    }
    if !release.is_empty() {
        let is_another = differs.iter().any(is_another);
        let text = if is_another { String::new() } else { release };
        marks.push(Mark {
            name: ".paas-release",
            text,
        });
    }
    marks
}

fn text_of<'v>(values: &'v Values, name: &str) -> &'v str {
    let value = values.get(name).and_then(|input| input.value.as_str());
    value.unwrap_or_default()
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
            of_release: true,
        }
    }

    #[test]
    fn what_a_host_says_is_read_and_half_of_it_is_nothing() {
        let said = "step\tnats\tsaid\tunit paas-cluster-nats.service\n\
            step\tnats\tsaid\tdiffers\tjobs/n.yml\tnet\t0.0.0.0\t10.0.0.1\nstep\tuaa\tended\t1\n";
        assert_eq!(answers(said, &look()), None);
        let whole = format!("{said}step\tnats\tended\t0\n");
        let Some(Recognised::Found { differs, .. }) = answers(&whole, &look()) else {
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
