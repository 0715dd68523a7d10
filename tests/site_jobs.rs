//! Jobs that a site keeps on disk: the guide's example, and every mistake told with its file.

mod common;

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use common::{assert_golden, assert_shellcheck_clean, catalog, root, secrets};
use paas_cluster_build::cluster_file::ClusterFile;
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::model::Cluster;
use tempfile::TempDir;

const CLUSTER: &str = "\
components: [redis]
server:
  redis:
    ip: 10.0.0.7
    packages: [redis-server]
    vars: {redis_memory_mb: 32}
";

#[test]
fn the_example_of_the_guide_is_a_job() {
    let folder = root().join("tests/fixtures/site-jobs");
    let catalog = catalog()
        .with_site_jobs(&folder)
        .unwrap_or_else(|e| panic!("{e:?}"));
    let (file, problems) = ClusterFile::parse(Path::new("cluster.yml"), CLUSTER);
    assert!(problems.is_empty(), "{problems:?}");
    let cluster = Cluster::new(&file.unwrap(), &catalog.facts(), None).unwrap();
    assert!(cluster.needs_release(&catalog.facts()).is_empty());
    let component = &cluster.components[0];
    let secrets = secrets();
    let instance = &component.instances[0];
    let context = Context {
        cluster: &cluster,
        component,
        instance,
        secrets: &secrets,
        site_packages: None,
    };
    let job = catalog.get("redis").unwrap();
    let values = job.values(&context).unwrap();
    let memory = values.get("memory_mb").unwrap();
    assert_eq!(memory.value, 32);
    assert_eq!(memory.place.unwrap().line, 6, "a reason can name the line");
    assert_eq!(instance.address, IpAddr::from([10, 0, 0, 7]));
    let mut files = Vec::new();
    for action in Action::ALL {
        let script = job.render(action, &values).unwrap();
        let file = root().join(format!("tests/golden/site/redis.{}.sh", action.name()));
        assert_golden(&file, &script);
        files.push(file);
    }
    assert_shellcheck_clean(&files);
    let guide = fs::read_to_string(root().join("docs/writing-a-job.md")).unwrap();
    for name in ["job.yml", "redis.sh"] {
        let text = fs::read_to_string(folder.join("redis").join(name)).unwrap();
        assert!(
            guide.contains(&text),
            "docs/writing-a-job.md shows another {name}"
        );
    }
}

#[test]
fn every_mistake_in_a_folder_of_jobs_is_told_with_its_file() {
    let folder = TempDir::new().unwrap();
    let job = |name: &str, yml: Option<&str>, sh: Option<&str>| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        if let Some(text) = yml {
            fs::write(path.join("job.yml"), text).unwrap();
        }
        if let Some(text) = sh {
            fs::write(path.join(format!("{name}.sh")), text).unwrap();
        }
    };
    job("good", Some("units: [x]\n"), Some("true\n"));
    job("nats", Some("{}\n"), Some("true\n"));
    job("no_yml", None, Some("true\n"));
    job("no_script", Some("{}\n"), None);
    job("unknown_key", Some("unitz: [x]\n"), Some("true\n"));
    job(
        "two_sources",
        Some("values:\n  a: {index: true, own_address: true}\n"),
        Some("true\n"),
    );
    for (name, yml) in [
        ("no_name", "values:\n  a-b: {index: true}\n"),
        ("base_value", "values:\n  paas_home: {value: /x}\n"),
        (
            "lonely_default",
            "values:\n  a: {index: true, default: 1}\n",
        ),
        (
            "bad_path",
            "health:\n  - tcp: 1\n  - http: {port: 80, path: health}\n",
        ),
        ("bad_port", "health:\n  - tcp: 0\n"),
        ("bad_command", "health:\n  - command: \"a\\0b\"\n"),
    ] {
        job(name, Some(yml), Some("true\n"));
    }
    // Not a job, and not a mistake either.
    job(".git", None, None);
    job("twice", Some("units: []\nunits: []\n"), Some("true\n"));
    job("Bad-Name", Some("{}\n"), Some("true\n"));
    let Err(errors) = catalog().with_site_jobs(folder.path()) else {
        panic!("no mistake found")
    };
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let text = text
        .join("\n---\n")
        .replace(&folder.path().display().to_string(), "JOBS");
    insta::assert_snapshot!(text);
}

#[test]
fn a_template_that_names_what_is_not_there_is_an_error_with_its_line() {
    use paas_cluster_build::script::{Values, render_site_template};
    let mut values = Values::new();
    values.set("list", ["a"]);
    for (template, said) in [
        ("true\necho {{ nothing }}\n", "t.sh:2"),
        ("echo {{ list }}\n", "go through it"),
        ("echo {{ list[0]|safe }}\n", "unknown filter"),
        ("echo {% if %}\n", "t.sh:1"),
    ] {
        let error = render_site_template("t.sh", template, &values).unwrap_err();
        assert!(error.contains(said), "{template}: {error}");
    }
}
