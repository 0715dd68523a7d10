//! The folder of a job: which files it has, and their texts, each looked through as far as that needs
//! no shell.

use std::fs;
use std::path::{Path, PathBuf};

use super::SiteJobError;
use crate::cluster_file::{
    At, CheckEntry, JobFile, Place, Problem, decode, nearest, sort_problems,
};
use crate::script::{Names, check_site_template, check_template};

/// The values that every script has.
pub(super) const BASE_VALUES: [&str; 3] = ["paas_user", "paas_home", "own_address"];

/// A file with its text.
pub(super) struct Text {
    pub path: PathBuf,
    pub text: String,
}

/// What a job's folder holds; nothing of it is wrong.
pub(super) struct JobFolder {
    pub name: String,
    pub file: JobFile,
    pub yml: Text,
    pub template: Text,
    /// The job's own way back.
    pub removal: Option<Text>,
}

/// Lists the folders of jobs.
///
/// # Errors
/// The folder can't be read.
pub(super) fn folders(folder: &Path) -> Result<Vec<PathBuf>, SiteJobError> {
    let entries = fs::read_dir(folder).map_err(|error| {
        SiteJobError::new(
            folder.to_owned(),
            format!("jobs_dir can't be read: {error}"),
        )
    })?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir() && !is_hidden(path))
        .collect();
    folders.sort();
    Ok(folders)
}

/// What begins with a dot isn't a job, but a version control's folder, for example.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with('.'))
}

/// Reads a job's folder.
///
/// # Errors
/// Everything that is wrong with each of its files.
pub(super) fn read(folder: &Path) -> Result<JobFolder, Vec<SiteJobError>> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_name) {
        let message = "a job's folder is named with a-z, 0-9 and _, a letter first";
        return Err(vec![SiteJobError::new(folder.to_owned(), message)]);
    }
    let mut errors = Vec::new();
    let removal_name = format!("{name}.remove.sh");
    let has_removal = folder.join(&removal_name).exists();
    if let Some(error) = misnamed_removal(folder, &removal_name, has_removal) {
        errors.push(error);
    }
    let yml = text_of(folder, "job.yml", &mut errors);
    let template = text_of(folder, &format!("{name}.sh"), &mut errors);
    let removal = has_removal
        .then(|| text_of(folder, &removal_name, &mut errors))
        .flatten();
    let file = yml.as_ref().and_then(|yml| job_file(yml, &mut errors));
    let mut known: Vec<&str> = BASE_VALUES.to_vec();
    if let Some(file) = &file {
        known.extend(file.values.iter().map(|(name, _)| name.value.as_str()));
    }
    if let Some(template) = &template {
        // Without job.yml nothing is known of its values.
        let names = file.is_some().then_some(Names {
            known: &known,
            help: "declare it under `values` in job.yml",
        });
        errors.extend(wrong_template(template, names));
    }
    if let Some(removal) = &removal {
        let names = Names {
            known: &BASE_VALUES,
            help: "a way back has only paas_user, paas_home and own_address: the job may be gone \
                   from the cluster file",
        };
        errors.extend(wrong_template(removal, Some(names)));
    }
    match (file, yml, template) {
        (Some(file), Some(yml), Some(template)) if errors.is_empty() => Ok(JobFolder {
            name: name.to_owned(),
            file,
            yml,
            template,
            removal,
        }),
        _ => Err(errors),
    }
}

/// A way back under another name would be passed over when it's needed.
fn misnamed_removal(folder: &Path, name: &str, is_there: bool) -> Option<SiteJobError> {
    let other = folder.join("remove.sh");
    let message = format!("the way back of this job is named {name}");
    (!is_there && other.exists()).then(|| SiteJobError::new(other, message))
}

fn text_of(folder: &Path, name: &str, errors: &mut Vec<SiteJobError>) -> Option<Text> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let help = match error.kind() {
                std::io::ErrorKind::NotFound => near_name(folder, name),
                _ => None,
            };
            let message = format!("can't be read: {error}{}", help.unwrap_or_default());
            errors.push(SiteJobError::new(path, message));
            return None;
        }
    };
    match decode(&bytes) {
        Ok(text) => Some(Text { path, text }),
        Err(problem) => {
            let text = String::from_utf8_lossy(&bytes);
            errors.push(SiteJobError::at(path, &text, vec![problem]));
            None
        }
    }
}

/// Names the file of the folder that was probably meant.
fn near_name(folder: &Path, name: &str) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?;
    let ending = Path::new(name).extension()?.to_str()?;
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|other| !other.ends_with(".remove.sh") && other != "remove.sh")
        .collect();
    let names = names.iter().map(String::as_str);
    let alike = names.clone().find(|other| {
        let is_alike = Path::new(other).extension().is_some_and(|e| e == ending);
        is_alike || (name == "job.yml" && other.ends_with(".yaml"))
    });
    let near = alike.or_else(|| nearest(name, names))?;
    Some(format!(" (there is {near}; rename it)"))
}

fn job_file(yml: &Text, errors: &mut Vec<SiteJobError>) -> Option<JobFile> {
    let found = match JobFile::parse(&yml.text) {
        Ok(file) => {
            let problems = misuses(&file);
            if problems.is_empty() {
                return Some(file);
            }
            problems
        }
        Err(problems) => problems,
    };
    errors.push(SiteJobError::at(yml.path.clone(), &yml.text, found));
    None
}

/// What the shape of job.yml doesn't tell.
fn misuses(file: &JobFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, _) in &file.values {
        if BASE_VALUES.contains(&name.value.as_str()) {
            let message = format!("every script has a value `{}`", name.value);
            let problem = Problem::new(name.place, name.len, message);
            problems.push(problem.help("leave it out, or give it another name"));
        }
    }
    let commands = file.health.iter().filter_map(|check| match check {
        CheckEntry::Command(line) => Some(line),
        CheckEntry::Tcp(_) | CheckEntry::Http { .. } => None,
    });
    let texts = commands.chain(&file.leader).chain(&file.logs);
    problems.extend(texts.filter_map(mark));
    sort_problems(&mut problems);
    problems
}

/// A template's mark in a text that is no template would reach the host as it is.
fn mark(text: &At<String>) -> Option<Problem> {
    let begins = ["{{", "{%"]
        .iter()
        .find(|mark| text.value.contains(**mark))?;
    let message = format!("`{begins}` means nothing here: job.yml is no template");
    let help = "a value stands only in the script; let that write a file, such as a small program \
                of its own, which this command can use";
    Some(Problem::new(text.place, text.len, message).help(help))
}

/// Everything that is wrong with a template, as far as no shell is needed to see it.
fn wrong_template(template: &Text, names: Option<Names<'_>>) -> Option<SiteJobError> {
    let text = &template.text;
    let mut problems: Vec<Problem> = odd_character(text).into_iter().collect();
    problems.extend(check_template(text, names));
    if problems.is_empty() {
        problems.extend(check_site_template(text).err());
    }
    (!problems.is_empty()).then(|| SiteJobError::at(template.path.clone(), text, problems))
}

/// What an editor of another system leaves in a script, and a shell takes for a part of a word.
fn odd_character(text: &str) -> Option<Problem> {
    let (line, found) = (1..).zip(text.split('\n')).find_map(|(number, line)| {
        let at = line.chars().position(|c| matches!(c, '\r' | '\0'))?;
        Some((number, (at, line.chars().nth(at)?)))
    })?;
    let (at, c) = found;
    let column = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
    let place = Place::new(line, column);
    Some(match c {
        '\r' => Problem::new(place, 1, "a carriage return stands at this line's end").help(
            "save it with the line ends of Unix: the shell would take it for a part of the word",
        ),
        _ => Problem::new(place, 1, "a NUL character stands in the script").help("delete it"),
    })
}
