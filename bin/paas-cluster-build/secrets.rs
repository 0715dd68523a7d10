//! The secrets of a run: from the cluster file's variables, from the host that keeps them, from
//! this machine's copy, or made new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paas_cluster_build::job::{Catalog, Secrets};
use paas_cluster_build::model::{Cluster, PasswordSource, Selection};
use paas_cluster_build::plan::{Facts, HostState, Owner, Plan, RecordedInput, sha256_hex};
use paas_cluster_build::report::printable;
use paas_cluster_build::secret::SecretReader;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::exit::{Exit, Failure};

/// How many characters a new secret has; 62 letters and digits give 190 bits.
const LENGTH: usize = 32;

/// Where secrets are looked for.
pub struct Vault<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
    /// The names of the secrets of the selected components, each with the jobs whose hosts keep it.
    needs: BTreeMap<String, BTreeSet<String>>,
    /// The names of every component's secrets.
    all: BTreeSet<String>,
    reader: Arc<SecretReader>,
}

/// A place in which a secret was used, as a receipt has it.
#[derive(Debug, Clone)]
pub struct Use {
    /// The step's name.
    pub step: String,
    /// The name of its value.
    pub value: String,
    /// The secret's.
    pub secret: String,
}

/// What is known of the secrets before a run; nothing has been made for it.
#[derive(Debug, Default)]
pub struct Found {
    /// Every secret: as it is, or a stand-in where it isn't known.
    pub secrets: Secrets,
    /// Those that the cluster file says: they aren't kept anywhere.
    pub configured: BTreeSet<String>,
    /// Those that a host or this machine has.
    pub known: BTreeSet<String>,
    /// Those that nobody has, and that a run makes.
    pub missing: BTreeSet<String>,
    /// Why there can't be a run, by secret: what isn't known of it, and what to do.
    pub refused: BTreeMap<String, String>,
    /// What else the operator should know.
    pub warnings: Vec<String>,
}

impl Found {
    /// Forgets what is missing or unknown of secrets that aren't used.
    pub fn narrow(&mut self, uses: &[Use]) {
        let is_used = |name: &String| uses.iter().any(|one| one.secret == *name);
        self.missing.retain(is_used);
        self.refused.retain(|name, _| is_used(name));
    }

    /// Refuses where a secret isn't known that may exist somewhere.
    pub fn check(&self) -> Result<(), Failure> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let list: String = self
            .refused
            .values()
            .map(|why| format!("  {why}\n"))
            .collect();
        Err(Failure::new(
            Exit::Failed,
            format!("not every secret is known; nothing was changed\n{list}"),
        ))
    }
}

impl<'a> Vault<'a> {
    /// Names the secrets of the selected components; `state` is the state folder.
    pub fn new(
        cluster: &'a Cluster,
        catalog: &Catalog,
        selection: &Selection,
        state: &Path,
        reader: Arc<SecretReader>,
    ) -> Vault<'a> {
        let mut needed = BTreeSet::new();
        let mut keepers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for component in &cluster.components {
            let jobs = component.jobs.iter().filter_map(|job| catalog.get(job));
            for need in jobs.flat_map(|job| job.secrets()) {
                // Two jobs may use one secret: both keep it, whichever was selected.
                let of_secret = keepers.entry(need.name.clone()).or_default();
                of_secret.insert(need.kept_by.clone());
                if selection.has_component(&component.name) {
                    needed.insert(need.name.clone());
                }
            }
        }
        let all = keepers.keys().cloned().collect();
        keepers.retain(|name, _| needed.contains(name));
        Vault {
            cluster,
            folder: state.join(&cluster.name).join("secrets"),
            needs: keepers,
            all,
            reader,
        }
    }

    /// Returns a stand-in for each secret of the cluster, for scripts that are only looked at: a
    /// host's look renders the checks of all that is there, whatever was selected.
    pub fn stand_ins(&self) -> Secrets {
        let stand_in = |name: &String| (name.clone(), stand_in(name).into());
        self.all.iter().map(stand_in).collect()
    }

    /// Finds where secrets are used in a plan that was made with stand-ins.
    pub fn uses(&self, plan: &Plan) -> Vec<Use> {
        let mut uses = Vec::new();
        for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
            for (value, input) in step.values.iter().filter(|(_, input)| input.secret) {
                let is_it = |name: &&String| input.value.as_str() == Some(&stand_in(name));
                if let Some(name) = self.all.iter().find(is_it) {
                    uses.push(Use {
                        step: step.id.step.clone(),
                        value: value.to_owned(),
                        secret: name.clone(),
                    });
                }
            }
        }
        uses
    }

    /// Lists the hosts that keep secrets: they're asked even when nothing else is done there.
    pub fn keepers(&self) -> Vec<IpAddr> {
        let jobs = self.needs.values().flatten();
        jobs.flat_map(|job| self.hosts_of(job)).collect()
    }

    /// Names the secrets that a host is to keep.
    pub fn kept_on(&self, host: IpAddr) -> Vec<&str> {
        let keeps = |jobs: &BTreeSet<String>| {
            let mut jobs = jobs.iter();
            jobs.any(|job| self.hosts_of(job).any(|address| address == host))
        };
        let kept = self.needs.iter().filter(|(_, jobs)| keeps(jobs));
        kept.map(|(name, _)| name.as_str()).collect()
    }

    /// Looks for every secret, and makes none: in the cluster file, on the hosts that keep it, here.
    pub fn find(&self, facts: &Facts, uses: &[Use]) -> Result<Found, Failure> {
        let mut found = Found {
            secrets: self.stand_ins(),
            ..Found::default()
        };
        for (name, jobs) in &self.needs {
            if let Some(secret) = self.configured(name)? {
                found.configured.insert(name.clone());
                found.secrets.insert(name.clone(), secret);
                continue;
            }
            let mut keepers: BTreeSet<IpAddr> = BTreeSet::new();
            keepers.extend(jobs.iter().flat_map(|job| self.hosts_of(job)));
            let of_secret = uses.iter().filter(|one| one.secret == *name);
            let search = Search {
                name,
                known: keepers
                    .iter()
                    .flat_map(|host| self.on_host(*host, name, jobs, facts))
                    .collect(),
                silent: keepers
                    .iter()
                    .filter_map(|host| Some((*host, why_unknown(*host, facts)?)))
                    .collect(),
                here: self.kept_here(name),
                folder: &self.folder,
                used: used(of_secret, facts),
            };
            match search.decide() {
                Ok(Some(secret)) => {
                    found.warnings.extend(search.difference(&secret));
                    found.known.insert(name.clone());
                    found.secrets.insert(name.clone(), secret);
                }
                Ok(None) => {
                    found.missing.insert(name.clone());
                }
                Err(why) => {
                    found.refused.insert(name.clone(), why);
                }
            }
        }
        Ok(found)
    }

    /// Makes every secret that nobody has; each is kept here before it's used anywhere.
    pub fn make(&self, found: &mut Found) -> Result<(), Failure> {
        for name in std::mem::take(&mut found.missing) {
            let secret = self.make_one(&name)?;
            found.known.insert(name.clone());
            found.secrets.insert(name, secret);
        }
        Ok(())
    }

    /// What a host keeps of a secret: the tool's own copy, and that of a script.
    fn on_host(
        &self,
        host: IpAddr,
        name: &str,
        jobs: &BTreeSet<String>,
        facts: &Facts,
    ) -> Vec<(IpAddr, SecretString)> {
        let (Some(known), Some(belonging)) = (facts.known(host), &facts.belonging) else {
            return Vec::new();
        };
        let ids = belonging.ids.iter();
        let of_tool = ids.filter_map(|id| known.kept.get(id)?.get(name));
        // What scripts keep is of any cluster that the host belongs to.
        let has_keeper = || {
            let mut steps = jobs.iter().flat_map(|job| {
                let running = self.cluster.instances_of_job(job);
                running.map(move |(component, _)| component.step_name(job))
            });
            steps.any(|step| {
                known.receipts.contains_key(&step) && belonging.owner(known, &step) == Owner::Own
            })
        };
        let of_script = known.secrets.get(name);
        let of_script = of_script.filter(|_| belonging.has_alone(known) || has_keeper());
        let all = of_tool.chain(of_script).cloned();
        all.map(|secret| (host, secret)).collect()
    }

    fn hosts_of<'b>(&'b self, job: &'b str) -> impl Iterator<Item = IpAddr> + 'b {
        let instances = self.cluster.instances_of_job(job);
        instances.map(|(_, instance)| instance.address)
    }

    /// `vars.<name>`: a mapping that says where it is, or the secret itself.
    fn configured(&self, name: &str) -> Result<Option<SecretString>, Failure> {
        let Some((value, place)) = self.cluster.vars.get(name) else {
            return Ok(None);
        };
        let at = format!("{}:{}", self.cluster.file.display(), place.line);
        let folder = match self.cluster.file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let member = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let source = if let Some(variable) = member("env") {
            PasswordSource::Env(variable)
        } else if let Some(path) = member("file") {
            PasswordSource::File(folder.join(path))
        } else if let Some(line) = member("command") {
            let folder = folder.to_owned();
            PasswordSource::Command { line, folder }
        } else if value.get("ask") == Some(&Value::Bool(true)) {
            PasswordSource::Ask(format!("the secret {name}"))
        } else if let Some(text) = value.as_str().filter(|text| text.chars().count() >= 4) {
            return Ok(Some(text.to_owned().into()));
        } else {
            return Err(Failure::usage(format!(
                "{at}: {name} is a secret; {{env: NAME}}, {{file: PATH}}, {{command: LINE}}, \
                 {{ask: true}} or a text of at least four characters is expected"
            )));
        };
        let secret = self.reader.read(&source);
        secret
            .map(Some)
            .map_err(|why| Failure::usage(format!("{at}: {why}")))
    }

    fn kept_here(&self, name: &str) -> Option<SecretString> {
        let text = fs::read_to_string(self.folder.join(name)).ok()?;
        let line = text.lines().next().filter(|line| !line.is_empty())?;
        Some(line.to_owned().into())
    }

    fn make_one(&self, name: &str) -> Result<SecretString, Failure> {
        let secret = random_text()?;
        self.keep(name, &secret).map_err(|error| {
            let folder = self.folder.display();
            Failure::usage(format!(
                "the new secret {name} can't be kept in {folder}: {error}"
            ))
        })?;
        Ok(secret)
    }

    fn keep(&self, name: &str, secret: &SecretString) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        // Temporary files are 0600 from their first moment.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        writeln!(file, "{}", secret.expose_secret())?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(name))?;
        Ok(())
    }
}

/// All that is known of one secret that the cluster file doesn't say.
struct Search<'a> {
    name: &'a str,
    /// What each host that could be asked keeps.
    known: Vec<(IpAddr, SecretString)>,
    /// The keepers that couldn't be asked, and why.
    silent: Vec<(IpAddr, String)>,
    /// The copy on this machine.
    here: Option<SecretString>,
    folder: &'a Path,
    /// Digests with which components were built, with who built them where.
    used: Vec<(String, String)>,
}

impl Search<'_> {
    /// The secret; nothing where it has to be made; or why neither is right.
    fn decide(&self) -> Result<Option<SecretString>, String> {
        let name = self.name;
        let says =
            format!("`vars.{name}` in the cluster file says which one it is, as {{file: PATH}}");
        if let Some((first, secret)) = self.known.first() {
            let is_other = |other: &SecretString| other.expose_secret() != secret.expose_secret();
            return match self.known.iter().find(|(_, other)| is_other(other)) {
                None => Ok(Some(secret.clone())),
                Some((host, _)) if host == first => Err(format!(
                    "{name}: {host} keeps two values of it, in secrets/{name} and below \
                     secrets/*/{name}; remove the wrong one there, or {says}"
                )),
                Some((host, _)) => Err(format!(
                    "{name}: {first} and {host} keep different values of it; remove the wrong one \
                     there (secrets/{name}, secrets/*/{name}), or {says}"
                )),
            };
        }
        match &self.here {
            Some(here) if self.is_used(here) => return Ok(Some(here.clone())),
            Some(_) => {
                let (_, built) = &self.used[0];
                return Err(format!(
                    "{name}: {built} with another value than the one in {}, and no host keeps it; \
                     {says}",
                    self.folder.display()
                ));
            }
            None => {}
        }
        if !self.silent.is_empty() {
            let list = self
                .silent
                .iter()
                .map(|(host, why)| format!("{host} ({why})"));
            let list: Vec<String> = list.collect();
            return Err(format!(
                "{name}: none is made while a host that may keep it can't be asked: {}; bring it \
                 back, or {says}",
                list.join(", ")
            ));
        }
        match self.used.first() {
            None => Ok(None),
            Some((_, built)) => Err(format!(
                "{name}: {built}, and neither a host nor this machine has kept the value; copy \
                 secrets/{name} from the state folder there to {}, or {says}",
                self.folder.display()
            )),
        }
    }

    /// Whether components were built with it, as far as receipts tell.
    fn is_used(&self, secret: &SecretString) -> bool {
        let digest = sha256_hex(Value::from(secret.expose_secret()).to_string().as_bytes());
        self.used.is_empty() || self.used.iter().any(|(used, _)| *used == digest)
    }

    /// What to say where the copy here isn't the one that is used.
    fn difference(&self, secret: &SecretString) -> Option<String> {
        let here = self.here.as_ref()?;
        let (host, _) = self.known.first()?;
        (here.expose_secret() != secret.expose_secret()).then(|| {
            format!(
                "the copy of the secret {} in {} isn't the one that {host} keeps; the host's is used",
                self.name,
                self.folder.display()
            )
        })
    }
}

fn stand_in(name: &str) -> String {
    format!("<{name}>")
}

/// Why a host's secrets aren't known, if they aren't.
fn why_unknown(host: IpAddr, facts: &Facts) -> Option<String> {
    match facts.hosts.get(&host) {
        Some(HostState::Known(_)) => None,
        Some(HostState::Unknown { why, .. }) => {
            Some(printable(why.lines().next().unwrap_or_default()))
        }
        None => Some("it wasn't asked".to_owned()),
    }
}

/// The digests of a secret in this cluster's receipts, each with words about who built it.
fn used<'u>(uses: impl Iterator<Item = &'u Use>, facts: &Facts) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for one in uses {
        for (host, state) in &facts.hosts {
            let HostState::Known(known) = state else {
                continue;
            };
            if facts.owner(*host, &one.step) != Owner::Own {
                continue;
            }
            if let Some(receipt) = known.receipts.get(&one.step)
                && let Some(RecordedInput::Secret(digest)) = receipt.stamp.inputs.get(&one.value)
            {
                let (who, desk) = (&receipt.stamp.operator, &receipt.stamp.workstation);
                let words = format!("{} on {host} was built by {who} at {desk}", one.step);
                found.push((digest.clone(), printable(&words)));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Asks on the terminal, without showing what is typed.
pub fn terminal_reader() -> SecretReader {
    SecretReader::with_prompt(Box::new(|what| {
        rpassword::prompt_password(format!("{what}: ")).map(SecretString::from)
    }))
}

/// Makes a text of letters and digits, each as likely as the others.
fn random_text() -> Result<SecretString, Failure> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    while text.len() < LENGTH {
        let mut byte = [0];
        getrandom::fill(&mut byte)
            .map_err(|error| Failure::usage(format!("no random numbers: {error}")))?;
        // 248 is the largest multiple of 62 in a byte; the rest would favour some letters.
        if byte[0] < 248 {
            text.push(char::from(ALPHABET[usize::from(byte[0] % 62)]));
        }
    }
    Ok(text.into())
}
