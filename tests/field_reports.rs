//! Holds docs/field-reports.md against the tests: what it says is held by a test, is.

use std::fs;
use std::path::Path;

use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the page's tables: what is reported, what is done, what holds it.
fn rows() -> Vec<[String; 3]> {
    let text = fs::read_to_string(root().join("docs/field-reports.md")).unwrap();
    let cells = |line: &str| -> Option<[String; 3]> {
        let cells: Vec<String> = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .split(" | ")
            .map(str::to_owned)
            .collect();
        Some(cells.try_into().unwrap_or_else(|cells| panic!("{cells:?}")))
    };
    text.lines()
        .filter_map(cells)
        .filter(|row| row[0] != "what is reported" && !row[0].starts_with("---"))
        .collect()
}

#[test]
fn every_report_has_an_address_and_every_test_exists() {
    let rows = rows();
    assert!(rows.len() >= 26, "{}", rows.len());
    let link = Regex::new(r"\]\(https://[^)]+\)").unwrap();
    let name = Regex::new(r"`([a-z_/.]+)::([a-z0-9_]+)`").unwrap();
    for [reported, done, held] in rows {
        assert!(link.is_match(&reported), "no address: {reported}");
        assert!(!done.is_empty(), "{reported}");
        let mut count = 0;
        for found in name.captures_iter(&held) {
            let file = match found[1].contains('/') {
                true => root().join(&found[1]),
                false => root().join(format!("tests/{}.rs", &found[1])),
            };
            let source = fs::read_to_string(&file).unwrap_or_default();
            let test = format!("fn {}(", &found[2]);
            assert!(source.contains(&test), "there is no {}", &found[0]);
            count += 1;
        }
        assert!(count > 0 || held == "–", "{held}");
        assert_eq!(held.matches('`').count(), 2 * count, "{held}");
    }
}
