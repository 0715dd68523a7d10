//! The script that prepares a machine, `deploy/init.sh`, and the files that it needs there.

use std::collections::BTreeSet;

use askama::Template;
use serde::Deserialize;

use super::package::{Prepared, PreparedRelease};
use super::resolve::PlanError;
use crate::job::{HOME, INSTALLED, PACKAGES};
use crate::model::{Host, Sudo};
use crate::script::{Upload, Values, shell_word};

/// `deploy/init.sh`. A part of the release is either pushed (its digest names the file in the
/// host's `artifacts/`), or fetched from a URL, or cloned; what doesn't apply is empty.
#[derive(Template, Deserialize)]
#[serde(deny_unknown_fields)]
#[template(path = "init.sh", config = "config/askama.toml")]
struct InitScript {
    user: String,
    home: String,
    keep_sudo: bool,
    packages: Vec<String>,
    micro_paas_sha256: String,
    micro_paas_url: String,
    release_sha256: String,
    release_url: String,
    release_git: String,
    release_ref: String,
}

/// `deploy/remove_host.sh`.
#[derive(Template)]
#[template(path = "remove_host.sh", config = "config/askama.toml")]
struct RemoveScript<'a> {
    user: &'a str,
    home: &'a str,
}

/// Renders the way back.
pub(super) fn render_removal(user: &str, home: &str) -> Result<String, PlanError> {
    let own = RemoveScript { user, home }
        .render()
        .map_err(|error| PlanError {
            message: format!("deploy/remove_host.sh: {error}"),
            place: None,
        })?;
    Ok(format!("#!/bin/sh\n{HOME}\n{own}"))
}

/// Collects what the script is made of.
pub(super) fn values(
    host: &Host,
    home: &str,
    sudo: &Sudo,
    release: Option<&PreparedRelease>,
) -> Values {
    let mut packages: BTreeSet<String> = host.packages.iter().cloned().collect();
    let parts = release.map(|release| (release.micro_paas.as_ref(), &release.paas_release));
    for part in parts
        .iter()
        .flat_map(|(micro_paas, paas)| micro_paas.iter().copied().chain([*paas]))
    {
        // What the script itself calls to get this part.
        match part {
            Prepared::Push(_) => {}
            Prepared::Fetch { .. } => packages.extend(["ca-certificates".into(), "curl".into()]),
            Prepared::Git { .. } => packages.extend(["ca-certificates".into(), "git".into()]),
        }
    }
    let (micro_paas, paas_release) = parts.map_or((None, None), |(m, p)| (m, Some(p)));
    let micro_paas = Fields::of(micro_paas);
    let paas_release = Fields::of(paas_release);
    let place = release.and_then(|release| release.place);

    let mut values = Values::new();
    values.set("user", &host.ssh.user);
    values.set("home", home);
    values.set(
        "keep_sudo",
        matches!(sudo, Sudo::Password { keep: true, .. }),
    );
    values.set("packages", packages);
    for (name, value) in [
        ("micro_paas_sha256", micro_paas.sha256),
        ("micro_paas_url", micro_paas.url),
        ("release_sha256", paas_release.sha256),
        ("release_url", paas_release.url),
        ("release_git", paas_release.git),
        ("release_ref", paas_release.reference),
    ] {
        match place {
            Some(place) => values.set_from(name, value, place),
            None => values.set(name, value),
        }
    }
    values
}

/// Renders the script.
pub(super) fn render(values: &Values) -> Result<String, PlanError> {
    let failed = |error: String| PlanError {
        message: format!("deploy/init.sh can't be rendered: {error}"),
        place: None,
    };
    let script: InitScript =
        serde_json::from_value(values.to_json()).map_err(|error| failed(error.to_string()))?;
    let own = script.render().map_err(|error| failed(error.to_string()))?;
    Ok(format!("#!/bin/sh\n{HOME}\n{INSTALLED}\n{PACKAGES}\n{own}"))
}

/// Renders the check of a prepared machine: what bootstrap brings, and builds rely on, is there.
pub(super) fn health_script(values: &Values, user: &str, home: &str, has_release: bool) -> String {
    let mut script = String::new();
    let packages = values.get("packages").map(|input| &input.value);
    if let Some(packages) = packages.and_then(|value| value.as_array()) {
        let names = packages.iter().filter_map(|name| name.as_str());
        let names: String = names.map(|name| format!(" {}", shell_word(name))).collect();
        if !names.is_empty() {
            script.push_str(&format!("{INSTALLED}\nneed_packages{names}\n"));
        }
    }
    if has_release {
        script.push_str(&find_home(user, home));
        script.push_str(
            "paas=$home/paas-release.git/bin/paas\n\
             test -x \"$paas\" || { echo \"$paas is missing\"; exit 1; }\n",
        );
    }
    script.push_str("exit 0\n");
    script
}

/// Renders the lines that set `home` to the login user's.
pub(super) fn find_home(user: &str, home: &str) -> String {
    let (user, home) = (shell_word(user), shell_word(home));
    format!("{HOME}home=$(home_of {user} {home})\n")
}

/// Lists the files that must be pushed before the script can run.
pub(super) fn uploads(release: Option<&PreparedRelease>) -> Vec<Upload> {
    let Some(release) = release else {
        return Vec::new();
    };
    let parts = release.micro_paas.iter().chain([&release.paas_release]);
    parts
        .filter_map(|part| match part {
            Prepared::Push(upload) => Some(upload.clone()),
            Prepared::Fetch { .. } | Prepared::Git { .. } => None,
        })
        .collect()
}

/// One part of the release as the template has it.
#[derive(Default)]
struct Fields {
    sha256: String,
    url: String,
    git: String,
    reference: String,
}

impl Fields {
    fn of(part: Option<&Prepared>) -> Fields {
        match part.cloned() {
            None => Fields::default(),
            Some(Prepared::Push(upload)) => Fields {
                sha256: upload.sha256,
                ..Fields::default()
            },
            Some(Prepared::Fetch { url, sha256 }) => Fields {
                sha256,
                url,
                ..Fields::default()
            },
            Some(Prepared::Git { url, reference }) => Fields {
                git: url,
                reference,
                ..Fields::default()
            },
        }
    }
}
