//! Holds the law of the house: the table of rooms in docs/architecture.md against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Reads the table: each room's folder with the rooms that it may import.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `([^`]+)` \|[^|]*\| ([^|]*) \|$").unwrap();
    row.captures_iter(&text)
        .map(|row| {
            let allowed = row[2]
                .split(", ")
                .filter(|name| *name != "–")
                .map(str::to_owned);
            (row[1].to_owned(), allowed.collect())
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The rooms that a source names after `crate::`, also inside `use crate::{…}`.
fn imports(source: &str) -> BTreeSet<String> {
    let single = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let group = Regex::new(r"(?s)\bcrate::\{(.*?)\};").unwrap();
    let head = Regex::new(r"(?:^|,)\s*([a-z_]+)").unwrap();
    let mut found: BTreeSet<String> = single
        .captures_iter(source)
        .map(|c| c[1].to_owned())
        .collect();
    for inside in group.captures_iter(source) {
        // Only names on the group's first level are rooms.
        let mut depth = 0;
        let flat: String = inside[1]
            .chars()
            .filter(|c| {
                depth += match c {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                depth == 0
            })
            .collect();
        found.extend(head.captures_iter(&flat).map(|c| c[1].to_owned()));
    }
    found
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let table = table();
    let mut violations = Vec::new();
    for (room, allowed) in &table {
        let own = room.trim_start_matches("lib/");
        for file in rust_files(&root().join(room)) {
            for import in imports(&fs::read_to_string(&file).unwrap()) {
                if import != own && !allowed.contains(&import) {
                    violations.push(format!("{} imports {import}", file.display()));
                }
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let table = table();
    for entry in fs::read_dir(root().join("lib")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            assert!(
                table.contains_key(&format!("lib/{name}")),
                "lib/{name} is in no row"
            );
        } else {
            assert_eq!(name, "lib.rs", "a file beside the rooms");
        }
    }
}

#[test]
fn the_library_prints_nothing() {
    let print = Regex::new(r"\b(?:e?print(?:ln)?|dbg)!\s*\(").unwrap();
    for folder in ["lib", "cluster_jobs"] {
        for file in rust_files(&root().join(folder)) {
            let source = fs::read_to_string(&file).unwrap();
            // Tests may say why they're skipped.
            let code = source.split("#[cfg(test)]").next().unwrap();
            assert!(!print.is_match(code), "{} prints", file.display());
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let source = "use crate::plan::Step;\nuse crate::{event::{Event, Fact}, model};\n\
                  fn f() -> crate::job::Action {}";
    let found: Vec<String> = imports(source).into_iter().collect();
    assert_eq!(found, ["event", "job", "model", "plan"]);
}
