//! The secrets of a run: from the cluster file's variables, from the host that keeps them, from
//! this machine's copy, or made new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paas_cluster_build::job::{Catalog, SecretNeed, Secrets};
use paas_cluster_build::model::{Cluster, PasswordSource, Selection};
use paas_cluster_build::plan::Facts;
use paas_cluster_build::secret::SecretReader;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::exit::Failure;

/// How many characters a new secret has; 62 letters and digits give 190 bits.
const LENGTH: usize = 32;

/// Where secrets are looked for.
pub struct Vault<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
    needs: Vec<SecretNeed>,
    /// The names of every component's secrets.
    all: BTreeSet<String>,
    reader: Arc<SecretReader>,
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
        let mut needs: BTreeMap<String, SecretNeed> = BTreeMap::new();
        let mut all = BTreeSet::new();
        for component in &cluster.components {
            let jobs = component.jobs.iter().filter_map(|job| catalog.get(job));
            for need in jobs.flat_map(|job| job.secrets()) {
                all.insert(need.name.clone());
                if selection.has_component(&component.name) {
                    needs.insert(need.name.clone(), need.clone());
                }
            }
        }
        let folder = state.join(&cluster.name).join("secrets");
        Vault {
            cluster,
            folder,
            needs: needs.into_values().collect(),
            all,
            reader,
        }
    }

    /// Returns a stand-in for each secret of the cluster, for scripts that are only looked at: a
    /// host's look renders the checks of all that is there, whatever was selected.
    pub fn stand_ins(&self) -> Secrets {
        let stand_in = |name: &String| (name.clone(), format!("<{name}>").into());
        self.all.iter().map(stand_in).collect()
    }

    /// Tells whether the selected components have secrets.
    pub fn needs_any(&self) -> bool {
        !self.needs.is_empty()
    }

    /// Lists the hosts that keep secrets: they're asked even when nothing else is done there.
    pub fn keepers(&self) -> Vec<IpAddr> {
        self.needs
            .iter()
            .flat_map(|need| self.keepers_of(need))
            .collect()
    }

    /// Finds every secret, or makes it; a new one is kept here before it's used anywhere.
    pub fn resolve(&self, facts: &Facts) -> Result<Secrets, Failure> {
        let mut secrets = Secrets::new();
        for need in &self.needs {
            let on_host = || {
                let mut known = self.keepers_of(need).filter_map(|host| facts.known(host));
                known.find_map(|known| known.secrets.get(&need.name).cloned())
            };
            let secret = match self.configured(&need.name)? {
                Some(secret) => secret,
                None => match on_host().or_else(|| self.kept_here(&need.name)) {
                    Some(secret) => secret,
                    None => self.make(&need.name)?,
                },
            };
            secrets.insert(need.name.clone(), secret);
        }
        Ok(secrets)
    }

    /// Every host that may keep a secret: with one room dark, another has it.
    fn keepers_of<'b>(&'b self, need: &'b SecretNeed) -> impl Iterator<Item = IpAddr> + 'b {
        let instances = self.cluster.instances_of_job(&need.kept_by);
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

    fn make(&self, name: &str) -> Result<SecretString, Failure> {
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
