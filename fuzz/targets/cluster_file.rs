//! Any text as a cluster file: reading, validating and drawing its problems never panic, and every
//! problem lies in the text.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use paas_cluster_build::cluster_file::{ClusterFile, decode, render_problems};
use paas_cluster_build::cluster_jobs;
use paas_cluster_build::job::Catalog;
use paas_cluster_build::model::Cluster;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("cluster.yml");
    let text = match decode(bytes) {
        Ok(text) => text,
        Err(problem) => {
            let text = String::from_utf8_lossy(bytes);
            render_problems(path, &text, &[problem], false);
            return;
        }
    };
    let (file, mut problems) = ClusterFile::parse(path, &text);
    if let Some(file) = &file {
        let catalog = Catalog::new(cluster_jobs::all());
        if let Err(more) = Cluster::new(file, &catalog.facts(), None) {
            problems.extend(more);
        }
    } else {
        assert!(!problems.is_empty(), "refused without a reason");
    }
    // In YAML a carriage return alone ends a line, too.
    let lines = text.matches(['\n', '\r']).count() + 2;
    for problem in &problems {
        assert!(problem.place.line as usize <= lines, "line {} of {lines}", problem.place.line);
    }
    render_problems(path, &text, &problems, false);
    // Reading is a function of the text.
    assert_eq!(ClusterFile::parse(path, &text).0, file);
});
