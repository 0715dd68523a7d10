//! What every command begins with: the cluster file, read and validated, with its jobs.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use paas_cluster_build::cluster_file::{ClusterFile, Problem, decode};
use paas_cluster_build::cluster_jobs;
use paas_cluster_build::job::{Catalog, SiteJobError, read_by_shells};
use paas_cluster_build::model::{Artifact, Cluster, JobFacts, Release, ReleaseSource, Selection};
use paas_cluster_build::plan::{
    PlanError, PreparedPackages, PreparedRelease, StayingSecret, staying_secrets,
};

use crate::args::Common;
use crate::exit::Failure;
use crate::source::Source;

/// A valid cluster and the jobs that it may use.
pub struct Workspace {
    /// The cluster.
    pub cluster: Cluster,
    /// Built-in and site jobs.
    pub catalog: Catalog,
    /// What validation knows of the jobs.
    pub jobs: Vec<JobFacts>,
    file: ClusterFile,
    text: String,
    is_from_pipe: bool,
}

impl Workspace {
    /// Reads and validates the cluster file; every problem of it is in the error.
    pub fn load(common: &Common) -> Result<Workspace, Failure> {
        let source = Source::of(&common.config);
        let path = &source.shown();
        let bytes = source.read().map_err(|error| {
            let hint = "name the cluster file with -c FILE";
            Failure::usage(format!("{} can't be read: {error}; {hint}", path.display()))
        })?;
        let text = decode(&bytes).map_err(|problem| {
            Failure::problems(path, &String::from_utf8_lossy(&bytes), &[problem])
        })?;
        let (file, mut found) = ClusterFile::parse(path, &text);
        let Some(file) = file else {
            return Err(Failure::problems(path, &text, &found));
        };
        let builtin = Catalog::new(cluster_jobs::all());
        let catalog = match file.jobs_folder() {
            Some(folder) => {
                found.extend(missing_folder(&file, &folder));
                builtin.with_site_jobs(&folder).map_err(|errors| {
                    // Without its jobs the file can't be validated, but its shape is known.
                    let of_file =
                        (!found.is_empty()).then(|| Failure::problems(path, &text, &found));
                    site_jobs(&folder, &errors, of_file)
                })?
            }
            None => builtin,
        };
        let jobs = catalog.facts();
        let release = common.release.as_deref().map(parse_release).transpose()?;
        match Cluster::new(&file, &jobs, release) {
            Ok(cluster) if found.is_empty() => Ok(Workspace {
                cluster,
                catalog,
                jobs,
                file,
                text,
                is_from_pipe: matches!(source, Source::Once(_)),
            }),
            Ok(_) => Err(Failure::problems(path, &text, &found)),
            Err(more) => {
                found.extend(more);
                Err(Failure::problems(path, &text, &found))
            }
        }
    }

    /// Lets the shells of this machine read the site's jobs, before any of their scripts is to run.
    pub fn read_by_shells(&self) -> Result<(), Failure> {
        let Some(folder) = &self.cluster.jobs_dir else {
            return Ok(());
        };
        let errors = read_by_shells(folder);
        match errors.is_empty() {
            true => Ok(()),
            false => Err(site_jobs(folder, &errors, None)),
        }
    }

    /// Says, drawn into the file's text, what would be wrong with the file without some instances;
    /// nothing where it would be as good as before, or nothing at all would be left of it.
    pub fn problems_without(&self, is_gone: impl Fn(&str, IpAddr) -> bool) -> Option<String> {
        let rest = self.file.without(is_gone);
        if rest.components.is_empty() {
            return None;
        }
        let found = Cluster::new(&rest, &self.jobs, None).err()?;
        Some(Failure::problems(&self.cluster.file, &self.text, &found).message)
    }

    /// Says why nothing may be kept for this cluster, if so: without a name and a file's path it
    /// can't be told from another one.
    pub fn why_nameless(&self) -> Option<&'static str> {
        (self.is_from_pipe && self.file.name.is_none()).then_some(
            "the cluster file comes from standard input and has no `name`, by which runs and \
             passwords are kept\nhelp: add `name: …` to it",
        )
    }

    /// Narrows the cluster to components and `--limit`s.
    pub fn select(&self, components: &[String], limits: &[String]) -> Result<Selection, Failure> {
        self.cluster.select(components, limits).map_err(|unknown| {
            // A word that is no component may be meant for a subcommand as well.
            let hints = crate::verbs::hints(components, Some(&self.cluster));
            let hints: String = hints.iter().map(|hint| format!("\nhelp: {hint}")).collect();
            Failure::usage(format!("{unknown}{hints}"))
        })
    }

    /// Says which components need a release when there's none.
    pub fn require_release(&self, selection: &Selection) -> Result<(), Failure> {
        if self.cluster.release.is_some() {
            return Ok(());
        }
        let needing: Vec<&str> = self
            .cluster
            .needs_release(&self.jobs)
            .into_iter()
            .filter(|name| selection.has_component(name))
            .collect();
        if needing.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "no release is named, and {} {} one\n\
             help: add `release: {{paas_release: {{path: FOLDER}}}}` to {}, or give \
             --release PATH or --release URL#sha256=HEX\n\
             help: an example to try a cluster with is in deploy/paas-release, with its micro_paas in deploy/micro-paas",
            needing.join(", "),
            if needing.len() == 1 { "needs" } else { "need" },
            self.cluster.file.display(),
        )))
    }

    /// Packs the release, if there is one.
    pub fn prepare_release(&self) -> Result<Option<PreparedRelease>, Failure> {
        let release = self.cluster.release.as_ref();
        release
            .map(PreparedRelease::prepare)
            .transpose()
            .map_err(Failure::usage)
    }

    /// Lists the secrets that stay as the release has them.
    pub fn staying_secrets(&self) -> Result<Vec<StayingSecret>, Failure> {
        staying_secrets(&self.cluster, &self.catalog)
            .map_err(|error| Failure::usage(format!("the release can't be read: {error}")))
    }

    /// Packs the site's own packages, where the file names them.
    pub fn prepare_packages(&self) -> Result<Option<PreparedPackages>, Failure> {
        let folder = self.cluster.site_packages.as_deref();
        folder
            .map(PreparedPackages::prepare)
            .transpose()
            .map_err(Failure::usage)
    }

    /// Turns errors of planning into one that shows each at its place in the file.
    pub fn plan_errors(&self, errors: &[PlanError]) -> Failure {
        let mut placed = Vec::new();
        let mut lines = Vec::new();
        for error in errors {
            match error.place {
                Some(place) => placed.push(Problem::new(place, 1, error.message.clone())),
                None => lines.push(error.message.clone()),
            }
        }
        lines.dedup();
        if placed.is_empty() {
            return Failure::usage(lines.join("\n"));
        }
        let more: String = lines
            .iter()
            .map(|line| format!("\nerror: {line}\n"))
            .collect();
        Failure::problems(&self.cluster.file, &self.text, &placed).followed_by(&more)
    }
}

/// Says at its line in the file that `jobs_dir` names no folder.
fn missing_folder(file: &ClusterFile, folder: &Path) -> Option<Problem> {
    let error = fs::read_dir(folder).err()?;
    let written = file.jobs_dir.as_ref()?;
    let message = format!(
        "`jobs_dir`: the folder {} can't be read: {error}",
        folder.display()
    );
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "make it, or name another; it is relative to this file's folder"
        }
        _ => "it has one folder for each of the site's own jobs",
    };
    Some(Problem::new(written.place, written.len, message).help(help))
}

/// Draws what is wrong with the site's jobs, and with the cluster file as far as that is known.
fn site_jobs(folder: &Path, errors: &[SiteJobError], of_file: Option<Failure>) -> Failure {
    // That the folder isn't there is told at its line in the file.
    let of_jobs = errors.iter().filter(|error| error.path != folder);
    // anstream takes the colours out again where they aren't wanted.
    let mut drawn: Vec<String> = of_jobs.map(|error| error.draw(true)).collect();
    drawn.extend(of_file.map(|failure| failure.message));
    Failure::drawn(drawn.join("\n\n"))
}

/// Reads `--release`: a path, or a URL with its digest.
fn parse_release(given: &str) -> Result<Release, Failure> {
    let artifact = if given.contains("://") {
        let (url, sha256) = given.split_once("#sha256=").ok_or_else(|| {
            Failure::usage(format!(
                "--release {given}: a URL needs its digest, as in {given}#sha256=HEX\n\
                 help: `sha256sum` of the archive prints it"
            ))
        })?;
        if sha256.len() != 64 || !sha256.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(Failure::usage(format!(
                "--release: `{sha256}` is no SHA-256; 64 hexadecimal digits are expected"
            )));
        }
        Artifact::Url {
            url: url.to_owned(),
            sha256: sha256.to_ascii_lowercase(),
        }
    } else {
        Artifact::Path {
            path: given.into(),
            sha256: None,
        }
    };
    Ok(Release {
        micro_paas: None,
        paas_release: ReleaseSource::Artifact(artifact),
        place: None,
    })
}
