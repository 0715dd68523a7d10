//! The schema that editors use, the cluster files of this repository and the reference agree.
//! A few lines judge by the schema, so that it's read by something else than what made it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::root;
use paas_cluster_build::cluster_file::schema;
use regex::Regex;
use serde_json::Value;

/// Reads a YAML file as plain data.
fn read(path: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Lists what the schema has against a value, each with its path in the file.
fn complaints(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            found.push(format!("{path}: {what}"));
        }
    };
    if let Some(kind) = schema["type"].as_str() {
        let is_kind = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            other => panic!("the schema uses a type that isn't judged here: {other}"),
        };
        must(is_kind, format!("is no {kind}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        must(
            Regex::new(pattern).unwrap().is_match(text),
            format!("{text:?} is not {pattern}"),
        );
    }
    if let Some(words) = schema["enum"].as_array() {
        must(words.contains(value), format!("is none of {words:?}"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_u64(), value.as_u64()) {
        must(number >= least, format!("is less than {least}"));
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        let key = key.as_str().unwrap();
        must(value.get(key).is_some(), format!("has no {key}"));
    }
    if let Some(shapes) = schema["anyOf"].as_array() {
        let fits = |shape: &Value| complaints(shape, value, path).is_empty();
        must(
            shapes.iter().any(fits),
            "fits none of the shapes".to_owned(),
        );
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(complaints(
            &schema["items"],
            item,
            &format!("{path}[{index}]"),
        ));
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let known = &schema["properties"][key];
        let other = &schema["additionalProperties"];
        if known.is_object() {
            found.extend(complaints(known, item, &path));
        } else if *other == Value::Bool(false) {
            found.push(format!("{path}: unknown key"));
        } else if other.is_object() {
            found.extend(complaints(other, item, &path));
        }
    }
    found
}

/// Collects the names of all keys, of every level.
fn keys(schema: &Value, into: &mut BTreeSet<String>) {
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        into.insert(name.clone());
        keys(value, into);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            keys(&schema[inner], into);
        }
    }
    for shape in schema["anyOf"].as_array().into_iter().flatten() {
        keys(shape, into);
    }
}

fn all_keys() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    keys(&schema(), &mut names);
    names
}

fn cluster_files() -> Vec<PathBuf> {
    let folders = ["config", "tests/fixtures"];
    let entries = folders.map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let paths = entries.into_iter().flatten().map(|e| e.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "yml"))
        .collect()
}

#[test]
fn every_cluster_file_here_fits_the_schema() {
    let files = cluster_files();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let found = complaints(&schema(), &read(&file), "file");
        assert!(found.is_empty(), "{}: {found:#?}", file.display());
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let text = "nats: 7\nssh: {usr: a, port: 0, host_keys: maybe}\nserver:\n  nats: {ip: [{}]}\n  \
                router: {ip: a, jobs: [Nats]}\n";
    let mut found = complaints(&schema(), &serde_yaml::from_str(text).unwrap(), "file");
    found.sort();
    let expected = [
        "file.nats: is no string",
        "file.server.nats.ip: fits none of the shapes",
        "file.server.router.jobs[0]: \"Nats\" is not ^[a-z][a-z0-9_]*$",
        "file.ssh.host_keys: is none of [String(\"accept-new\"), String(\"strict\"), \
         String(\"off\")]",
        "file.ssh.port: is less than 1",
        "file.ssh.usr: unknown key",
        "file: has no components",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_reference_names_every_key() {
    let reference = fs::read_to_string(root().join("docs/cluster-file.md")).unwrap();
    for key in all_keys() {
        let named = Regex::new(&format!(r"[`{{ ]{key}[`:]")).unwrap();
        assert!(
            named.is_match(&reference),
            "docs/cluster-file.md has no `{key}`"
        );
    }
}

#[test]
fn the_file_with_every_key_has_every_key() {
    let text = fs::read_to_string(root().join("tests/fixtures/every-key.yml")).unwrap();
    // `path` stands for a local release, which excludes the `git` that the file shows.
    for key in all_keys().into_iter().filter(|key| key != "path") {
        let used = Regex::new(&format!(r"(?m)(^|[ {{]){key}:")).unwrap();
        assert!(used.is_match(&text), "every-key.yml has no {key}");
    }
}
