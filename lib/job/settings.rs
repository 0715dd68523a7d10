//! What a job sets in the release's own files, as data: the paths that a file may have, and for each
//! setting the ways in which a release may have it. The host takes what is there.

use serde_json::Value;

use super::JobError;
use crate::script::{Values, shell_word};

/// `cluster_jobs/settings.sh`: the function that reads what [`script_of`] writes.
const FUNCTIONS: &str = include_str!("../../cluster_jobs/settings.sh");

/// How an edit is made; the prelude's `edit_file` says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Text,
    Url,
    Added,
    Head,
    Given,
    Assignment,
    Within,
}

impl Style {
    fn word(self) -> &'static str {
        match self {
            Style::Plain => "plain",
            Style::Text => "text",
            Style::Url => "url",
            Style::Added => "added",
            Style::Head => "head",
            Style::Given => "given",
            Style::Assignment => "assignment",
            Style::Within => "within",
        }
    }
}

/// One edit of a file. Its form is text with the script's values in braces: `nats://{nats_ip}:4222`;
/// `{name:host}` is an address as it stands in a URL, `{name:url}` a text.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    style: Style,
    key: &'static str,
    form: &'static str,
}

impl Edit {
    /// Sets a number or an address.
    pub const fn plain(key: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Plain, key, form)
    }

    /// Sets what has to stay text, also where it looks like a number.
    pub const fn text(key: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Text, key, form)
    }

    /// Sets a URL's scheme, host and, if the form has one, port; its path stays.
    pub const fn url(key: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Url, key, form)
    }

    /// Sets a text; a file without the key gets it behind the edit before.
    pub const fn added(key: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Added, key, form)
    }

    /// Has an item in a list: at its head, if it isn't in it yet.
    pub const fn head(key: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Head, key, form)
    }

    /// Sets nothing; the way is only for files that have this key.
    pub const fn given(key: &'static str) -> Edit {
        Edit::new(Style::Given, key, "")
    }

    /// Sets the line `NAME=value` of a shell script.
    pub const fn assignment(name: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Assignment, name, form)
    }

    /// Sets the address in the one line that holds the pattern's two halves; `*` is its place.
    pub const fn within(pattern: &'static str, form: &'static str) -> Edit {
        Edit::new(Style::Within, pattern, form)
    }

    const fn new(style: Style, key: &'static str, form: &'static str) -> Edit {
        Edit { style, key, form }
    }

    fn shown(&self, values: &Value) -> Result<String, JobError> {
        let form = fill(self.form, values, true)?;
        Ok(match self.style {
            Style::Given => format!("where there is {}", self.key),
            Style::Head => format!("{form} in {}", self.key),
            Style::Added => format!("{} = {form} (added if it's missing)", self.key),
            Style::Within => format!("{form} for * in the line with {}", self.key),
            _ => format!("{} = {form}", self.key),
        })
    }
}

/// Something that is set: the first of its ways whose keys are all in the file.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    what: &'static str,
    needed: bool,
    ways: &'static [&'static [Edit]],
}

impl Setting {
    /// Describes a setting that every release has, in one of these ways.
    pub const fn needed(what: &'static str, ways: &'static [&'static [Edit]]) -> Setting {
        Setting {
            what,
            needed: true,
            ways,
        }
    }

    /// Describes a setting that a release may be without.
    pub const fn if_there(what: &'static str, ways: &'static [&'static [Edit]]) -> Setting {
        Setting {
            what,
            needed: false,
            ways,
        }
    }
}

/// A file of the release in which something is set.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseFile {
    what: &'static str,
    paths: &'static [&'static str],
    settings: &'static [Setting],
    secret: bool,
    without: Option<&'static str>,
}

impl ReleaseFile {
    /// Describes a file by its paths below the release, of which a release has one.
    pub const fn new(
        what: &'static str,
        paths: &'static [&'static str],
        settings: &'static [Setting],
    ) -> ReleaseFile {
        ReleaseFile {
            what,
            paths,
            settings,
            secret: false,
            without: None,
        }
    }

    /// Says that a secret is set in it, so that it becomes the login user's alone.
    pub const fn secret(mut self) -> ReleaseFile {
        self.secret = true;
        self
    }

    /// Says that a release which has this path instead needs no such file.
    pub const fn unless(mut self, path: &'static str) -> ReleaseFile {
        self.without = Some(path);
        self
    }
}

/// Lists every path below the release that is looked for.
pub(super) fn paths(files: &[ReleaseFile]) -> Vec<&'static str> {
    let of_file = |file: &ReleaseFile| file.paths.iter().copied().chain(file.without);
    files.iter().flat_map(of_file).collect()
}

/// Lists every path below the release at which something may be set.
pub(super) fn edited(files: &[ReleaseFile]) -> Vec<&'static str> {
    files
        .iter()
        .flat_map(|file| file.paths.iter().copied())
        .collect()
}

/// Tells whether one of the files gets this value.
pub(super) fn name(files: &[ReleaseFile], value: &str) -> bool {
    let settings = files.iter().flat_map(|file| file.settings);
    let mut edits = settings.flat_map(|setting| setting.ways.iter().copied().flatten());
    let (bare, filtered) = (format!("{{{value}}}"), format!("{{{value}:"));
    edits.any(|edit| edit.form.contains(&bare) || edit.form.contains(&filtered))
}

/// Writes the part of a script that finds the files on the host and edits them.
pub(super) fn script_of(files: &[ReleaseFile], values: &Values) -> Result<String, JobError> {
    if files.is_empty() {
        return Ok(String::new());
    }
    let values = values.to_json();
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut say = |words: Vec<&str>| lines.push(words.into_iter().map(str::to_owned).collect());
    for file in files {
        say([&["file", file.what], file.paths].concat());
        if let Some(path) = file.without {
            say(vec!["unless", path]);
        }
        if file.secret {
            say(vec!["secret"]);
        }
        for setting in file.settings {
            let verb = if setting.needed { "need" } else { "may" };
            say(vec![verb, setting.what]);
            for way in setting.ways {
                say(vec!["way"]);
                for edit in *way {
                    let value = fill(edit.form, &values, false)?;
                    say(vec!["edit", edit.style.word(), edit.key, &value]);
                }
            }
        }
        say(vec!["end"]);
    }
    let mut text = FUNCTIONS.to_owned() + "\n";
    for words in lines {
        text.push_str("settings");
        for word in words {
            text.push(' ');
            text.push_str(&shell_word(&word));
        }
        text.push('\n');
    }
    Ok(text)
}

/// Lists the files and keys that a script sets, for people; a secret is shown as `<name>`.
pub(super) fn listing(files: &[ReleaseFile], values: &Values) -> Result<Vec<String>, JobError> {
    let values = values.to_shown();
    let mut lines = Vec::new();
    for file in files {
        lines.push(file.paths.join(", or "));
        for setting in file.settings {
            let mut ways = Vec::new();
            for way in setting.ways {
                let edits: Result<Vec<_>, _> = way.iter().map(|edit| edit.shown(&values)).collect();
                ways.push(edits?.join(", "));
            }
            let doubt = if setting.needed {
                ""
            } else {
                ", if it's there"
            };
            let what = setting.what;
            lines.push(format!("  {what}{doubt}: {}", ways.join("; or ")));
        }
    }
    Ok(lines)
}

/// Puts values into a form.
fn fill(form: &str, values: &Value, for_people: bool) -> Result<String, JobError> {
    let mut text = String::new();
    let mut rest = form;
    while let Some((before, tail)) = rest.split_once('{') {
        let unknown = || JobError::new(format!("the form {form} names a value that isn't there"));
        let (name, tail) = tail.split_once('}').ok_or_else(unknown)?;
        let (name, filter) = name.split_once(':').unwrap_or((name, ""));
        let value = match values.get(name) {
            Some(Value::String(value)) => value.clone(),
            Some(value @ Value::Number(_)) => value.to_string(),
            _ => return Err(unknown()),
        };
        text.push_str(before);
        match filter {
            // What is shown for a secret is no text to encode.
            _ if for_people => text.push_str(&value),
            "host" if value.contains(':') => text.push_str(&format!("[{value}]")),
            "url" => text.push_str(&url_encoded(&value)),
            _ => text.push_str(&value),
        }
        rest = tail;
    }
    text.push_str(rest);
    Ok(text)
}

/// A text as it may stand anywhere in a URL.
fn url_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[ReleaseFile] = &[ReleaseFile::new(
        "its configuration",
        &["a/jobs/a.yml.erb", "jobs/a/a.yml.erb"],
        &[Setting::needed(
            "the database",
            &[&[
                Edit::url("db", "postgres://{role:url}:{password:url}@{ip:host}:5432"),
                Edit::given("x"),
            ]],
        )],
    )
    .secret()];

    fn values() -> Values {
        let mut values = Values::new();
        values.set("role", "a b");
        values.set("ip", "fd00::1");
        values.set_secret("password", "it's@/");
        values
    }

    #[test]
    fn a_form_is_filled_and_quoted() {
        let script = script_of(FILES, &values()).unwrap();
        let wanted = "settings file 'its configuration' a/jobs/a.yml.erb jobs/a/a.yml.erb\n\
            settings secret\n\
            settings need 'the database'\n\
            settings way\n\
            settings edit url db 'postgres://a%20b:it%27s%40%2F@[fd00::1]:5432'\n\
            settings edit given x ''\n\
            settings end\n";
        assert!(script.ends_with(wanted), "{script}");
    }

    #[test]
    fn the_listing_shows_no_secret() {
        let lines = listing(FILES, &values()).unwrap();
        assert_eq!(
            lines,
            [
                "a/jobs/a.yml.erb, or jobs/a/a.yml.erb",
                "  the database: db = postgres://a b:<password>@fd00::1:5432, where there is x"
            ]
        );
    }

    #[test]
    fn a_value_that_is_not_there_is_an_error() {
        assert!(fill("{nothing}", &values().to_json(), false).is_err());
        assert!(fill("{role", &values().to_json(), false).is_err());
    }
}
