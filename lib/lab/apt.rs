//! Where packages come from: this computer's own Debian mirror and apt settings, for the base root.
//!
//! Machines must be able to install packages wherever this computer can, so nothing is assumed
//! about the mirror. `PAAS_LAB_MIRROR` names another one.

use std::path::Path;

use super::command;
use super::error::{At, Error};
use super::suite::Suite;

/// The keyring in every Debian root that signs the suites used here.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Releases whose mirror also carries the lab's, should this computer run another one.
const RELEASES: [&str; 8] = [
    "stable",
    "oldstable",
    "testing",
    "sid",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
];
/// Settings of apt that decide whether it reaches and accepts the mirror.
const SETTINGS: [&str; 4] = [
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::Check-",
    "Acquire::Languages",
];

/// One suite on one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// What apt needs inside a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The mirror that debootstrap fetches from.
    pub(super) mirror: String,
    /// The text of apt's sources, as the release writes them.
    pub(super) sources: String,
    /// The text of a file in apt.conf.d.
    pub(super) config: String,
    /// The proxy for plain HTTP, which debootstrap's downloader takes from its environment.
    pub(super) proxy: Option<String>,
}

/// Reads this computer's settings; none is returned where no mirror is known.
pub(super) fn settings(suite: Suite) -> Result<Option<Settings>, Error> {
    let chosen = match std::env::var("PAAS_LAB_MIRROR") {
        Ok(mirror) if !mirror.is_empty() => vec![(mirror, suite.name().to_owned())],
        _ => choose(&read_sources(Path::new("/etc/apt"))?, suite.name()),
    };
    let Some((mirror, _)) = chosen.first().cloned() else {
        return Ok(None);
    };
    let source = |(uri, name): &(String, String)| match suite.has_sources_file() {
        true => format!(
            "Types: deb\nURIs: {uri}\nSuites: {name}\nComponents: main\nSigned-By: {KEYRING}\n\n"
        ),
        false => format!("deb [signed-by={KEYRING}] {uri} {name} main\n"),
    };
    let sources = chosen.iter().map(source).collect();

    let dump = match command::find("apt-config") {
        Some(_) => command::run("apt-config", ["dump"])?,
        None => String::new(),
    };
    let mut lines = relevant(&dump);
    for (scheme, variable) in [("http", "http_proxy"), ("https", "https_proxy")] {
        let key = format!("Acquire::{scheme}::Proxy ");
        let proxy = std::env::var(variable).unwrap_or_default();
        // A quote would end the value in apt's file; no real proxy has one.
        if !proxy.is_empty() && !proxy.contains('"') && !lines.iter().any(|l| l.starts_with(&key)) {
            lines.push(format!("{key}\"{proxy}\";"));
        }
    }
    let proxy = lines
        .iter()
        .find_map(|line| value(line, "Acquire::http::Proxy "));
    let config = lines.iter().map(|line| format!("{line}\n")).collect();
    Ok(Some(Settings {
        mirror,
        sources,
        config,
        proxy,
    }))
}

fn value(line: &str, key: &str) -> Option<String> {
    let text = line
        .strip_prefix(key)?
        .trim_end_matches(';')
        .trim_matches('"');
    (text.contains("://")).then(|| text.to_owned())
}

/// Keeps the lines of `apt-config dump` that matter inside a machine.
fn relevant(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|line| SETTINGS.iter().any(|key| line.starts_with(key)) && !line.ends_with("\"\";"))
        .map(str::to_owned)
        .collect()
}

/// Picks mirror and suite pairs for a release, its main suite first.
fn choose(sources: &[Source], release: &str) -> Vec<(String, String)> {
    let usable = |source: &&Source| {
        // Third parties name their suites after Debian's releases, too, but sign by keys of theirs.
        let debian = source
            .signed_by
            .as_ref()
            .is_none_or(|by| by.contains("debian-archive"));
        let remote = source.uri.starts_with("http://") || source.uri.starts_with("https://");
        debian
            && remote
            && source
                .components
                .iter()
                .any(|component| component == "main")
    };
    let first = |suite: &str| {
        let source = sources
            .iter()
            .filter(usable)
            .find(|source| source.suite == suite)?;
        Some((source.uri.clone(), suite.to_owned()))
    };
    if let Some(main) = first(release) {
        let more = ["-updates", "-security"].map(|end| first(&format!("{release}{end}")));
        return std::iter::once(main)
            .chain(more.into_iter().flatten())
            .collect();
    }
    let lent = |own: &str, end: &str| {
        let source = first(&format!("{own}{end}"))?;
        Some((source.0, format!("{release}{end}")))
    };
    let own = RELEASES.into_iter().find(|name| first(name).is_some());
    own.into_iter()
        .flat_map(|own| ["", "-updates", "-security"].map(|end| lent(own, end)))
        .flatten()
        .collect()
}

/// Reads every source that apt reads, in its order.
fn read_sources(etc_apt: &Path) -> Result<Vec<Source>, Error> {
    let mut files = vec![etc_apt.join("sources.list")];
    let parts = etc_apt.join("sources.list.d");
    if parts.is_dir() {
        let entries = parts.read_dir().at("read", &parts)?;
        let mut paths = entries
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>();
        if let Ok(paths) = &mut paths {
            paths.sort();
        }
        files.extend(paths.at("read", &parts)?);
    }
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let text = std::fs::read_to_string(file).at("read", file)?;
        match file.extension().and_then(|end| end.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line).flatten()),
            Some("sources") => sources.extend(stanzas(&text)),
            _ => {}
        }
    }
    Ok(sources)
}

/// Parses a line `deb [option=value …] uri suite component…`.
fn one_line(line: &str) -> Option<Vec<Source>> {
    let line = line.split('#').next()?.trim();
    let rest = line
        .strip_prefix("deb")?
        .strip_prefix([' ', '\t'])?
        .trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options
        .split_whitespace()
        .find_map(|o| o.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let signed_by = signed_by.map(str::to_owned);
    Some(vec![Source {
        uri,
        suite,
        components: words.collect(),
        signed_by,
    }])
}

/// Parses the paragraphs of a `.sources` file.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn stanza(fields: &[(String, String)]) -> Vec<Source> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let words = |name| {
        field(name)
            .map(|value| value.split_whitespace())
            .into_iter()
            .flatten()
    };
    let off = ["no", "false", "0", "off", "disable"];
    if field("enabled").is_some_and(|value| off.contains(&value.to_ascii_lowercase().as_str()))
        || !words("types").any(|kind| kind == "deb")
    {
        return Vec::new();
    }
    let mut sources = Vec::new();
    for uri in words("uris") {
        for suite in words("suites") {
            sources.push(Source {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                components: words("components").map(str::to_owned).collect(),
                signed_by: field("signed-by").cloned(),
            });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str = "\
# a comment
Types: deb deb-src
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example
Suites: bookworm
Components: main
";

    #[test]
    fn a_sources_file_gives_the_release_and_its_updates() {
        let chosen = choose(&stanzas(SOURCES), "bookworm");
        let pairs: Vec<_> = chosen
            .iter()
            .map(|(u, s)| (u.as_str(), s.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("http://mirror.example/debian", "bookworm"),
                ("http://mirror.example/debian", "bookworm-updates"),
                ("http://mirror.example/security", "bookworm-security"),
            ]
        );
    }

    #[test]
    fn one_line_sources_with_options() {
        let text = "
            # deb http://commented.example bookworm main
            deb-src http://source.example bookworm main
            deb [arch=amd64 signed-by=/etc/apt/keyrings/other.gpg] https://other.example bookworm main
            deb cdrom:[Debian]/ bookworm main
            deb [ arch=amd64 ] http://mirror.example/debian bookworm main # ours
            deb http://late.example/debian bookworm main";
        let sources: Vec<_> = text.lines().filter_map(one_line).flatten().collect();
        let chosen = choose(&sources, "bookworm");
        assert_eq!(
            chosen,
            [(
                "http://mirror.example/debian".to_owned(),
                "bookworm".to_owned()
            )]
        );
    }

    #[test]
    fn another_release_lends_its_mirror() {
        let sources: Vec<_> = "deb http://m.example/debian-security trixie-security main
            deb http://m.example/debian trixie main"
            .lines()
            .filter_map(|line| one_line(line.trim()))
            .flatten()
            .collect();
        let expected = [
            ("http://m.example/debian", "bookworm"),
            ("http://m.example/debian-security", "bookworm-security"),
        ];
        let expected = expected.map(|(uri, suite)| (uri.to_owned(), suite.to_owned()));
        assert_eq!(choose(&sources, "bookworm"), expected);
        assert!(choose(&[], "bookworm").is_empty());
    }

    #[test]
    fn settings_that_matter_are_kept() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p.example:3128\";\n\
                    Acquire::Check-Date \"false\";\nAcquire::https::Proxy \"\";\n";
        let lines = relevant(dump);
        let expected = [
            "Acquire::http::Proxy \"http://p.example:3128\";",
            "Acquire::Check-Date \"false\";",
        ];
        assert_eq!(lines, expected);
        let proxy = value(&lines[0], "Acquire::http::Proxy ");
        assert_eq!(proxy.as_deref(), Some("http://p.example:3128"));
    }
}
