//! Every script that reaches a host, as a golden file: shell is reviewed as text, and shellcheck
//! reads what the host will read.

mod common;

use std::path::PathBuf;

use common::{
    assert_golden, assert_shellcheck_clean, assert_shellcheck_clean_but, catalog, cluster, root,
    secrets,
};
use paas_cluster_build::job::{Action, Context};
use paas_cluster_build::model::{Artifact, Component, Release, ReleaseSource};
use paas_cluster_build::operation::{
    KsScript, KsTask, Operation, Outline, bootstrap, build, probe, remove, runs,
};
use paas_cluster_build::plan::{
    Difference, Facts, Planner, PreparedRelease, Recognised, RunIdentity, Step,
};
use paas_cluster_build::script::render_site_template;

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden").join(name)
}

#[test]
fn every_script_of_every_job() {
    let catalog = catalog();
    let cluster = cluster("config/cluster.yml", &catalog);
    let secrets = secrets();
    let mut files = Vec::new();
    for component in &cluster.components {
        // The last instance: its index isn't the one that everything defaults to.
        let instance = component.instances.last().unwrap();
        let context = Context {
            cluster: &cluster,
            component,
            instance,
            secrets: &secrets,
            site_packages: None,
        };
        let job = catalog.get(&component.name).unwrap();
        let values = job.values(&context).unwrap();
        for action in Action::ALL {
            let script = job.render(action, &values).unwrap();
            let file = golden(&format!("{}.{}.sh", component.name, action.name()));
            assert_golden(&file, &script);
            files.push(file);
        }
    }
    assert_eq!(files.len(), 9 * Action::ALL.len());
    assert_shellcheck_clean(&files);
}

/// What `adopt` asks a host, and what it writes there: a machine, each job, and the receipts.
#[test]
fn every_script_of_an_adoption() {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    // A release whose files don't change with the example release.
    let path = root().join("tests/fixtures/plain-release");
    let artifact = Artifact::Path { path, sha256: None };
    cluster.release = Some(Release {
        micro_paas: None,
        paas_release: ReleaseSource::Artifact(artifact),
        place: None,
    });
    let release = PreparedRelease::prepare(cluster.release.as_ref().unwrap()).unwrap();
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let (secrets, facts) = (secrets(), Facts::default());
    let planner = Planner {
        cluster: &cluster,
        catalog: &catalog,
        release: Some(&release),
        secrets: &secrets,
        facts: &facts,
        run: &run,
        force: false,
        below_min_up: false,
        site_packages: None,
    };
    let selection = cluster.select(&[], &[]).unwrap();
    let build = build(&cluster, &selection);
    let mut files = Vec::new();
    for look in planner.recognition(&build).unwrap() {
        let last = cluster.component(&look.id.step).map(|component| {
            let instance = component.instances.last().unwrap();
            instance.address
        });
        if last.is_some_and(|last| last != look.id.host) {
            continue;
        }
        let name = format!("{}.recognise.sh", look.id.step);
        if files.contains(&golden(&name)) {
            continue;
        }
        assert_golden(&golden(&name), &look.script);
        files.push(golden(&name));
    }
    assert_eq!(files.len(), 10);
    // A look defines some functions again, so that they change nothing.
    assert_shellcheck_clean_but(&files, &["SC2317"]);

    let plan = planner.resolve(&build).unwrap();
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let host = "10.1.59.160".parse().unwrap();
    let mut steps: Vec<Step> = steps.filter(|step| step.id.host == host).cloned().collect();
    for step in &mut steps {
        // Not the whole receipt, which has the script in it and the tool's version.
        step.receipt = format!("{{\"step\":\"{}\"", step.id.step);
    }
    let unit = Difference::Unit {
        unit: "paas-cluster-nats.service".to_owned(),
    };
    let found: Vec<(&Step, &[Difference])> = steps
        .iter()
        .map(|step| match step.id.step.as_str() {
            "nats" => (step, std::slice::from_ref(&unit)),
            _ => (step, &[][..]),
        })
        .collect();
    let script = Recognised::receipts(host, &found).unwrap().script;
    assert_golden(&golden("adopt.sh"), &script);
    assert_shellcheck_clean(&[golden("adopt.sh")]);
}

/// The jobs of the global control plane: in a scheme that heals itself, in one that doesn't, and with
/// what Debian hasn't.
#[test]
fn every_script_of_the_global_control_plane() {
    let catalog = catalog();
    let mut secrets = secrets();
    let mut files = Vec::new();
    for (config, folder) in [
        ("config/global-ks.yml", "three-rooms"),
        ("config/global-ks-two-rooms.yml", "two-rooms"),
        ("tests/fixtures/cassandra.yml", "cassandra"),
    ] {
        let cluster = cluster(config, &catalog);
        let wanted = |component: &&Component| folder != "cassandra" || component.name == folder;
        for component in cluster.components.iter().filter(wanted) {
            let job = catalog.get(&component.name).unwrap();
            for need in job.secrets() {
                secrets.insert(need.name.clone(), format!("a-{}", need.name).into());
            }
            let context = Context {
                cluster: &cluster,
                component,
                instance: component.instances.last().unwrap(),
                secrets: &secrets,
                site_packages: Some("0123456789abcdef"),
            };
            let values = job.values(&context).unwrap();
            for action in [Action::Deploy, Action::Remove] {
                let script = job.render(action, &values).unwrap();
                let name = format!("{folder}/{}.{}.sh", component.name, action.name());
                assert_golden(&golden(&name), &script);
                files.push(golden(&name));
            }
        }
    }
    // Inside its script it's a text, which shellcheck passes over.
    files.push(common::root().join("cluster_jobs/zookeeper/guard.sh"));
    assert_shellcheck_clean(&files);
}

/// What operations on the global control plane run on a host.
#[test]
fn every_script_of_an_operation_on_the_global_control_plane() {
    let catalog = catalog();
    let cluster = cluster("config/global-ks-two-rooms.yml", &catalog);
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let (secrets, facts) = (secrets(), Facts::default());
    let planner = Planner {
        cluster: &cluster,
        catalog: &catalog,
        release: None,
        secrets: &secrets,
        facts: &facts,
        run: &run,
        force: false,
        below_min_up: false,
        site_packages: None,
    };
    let mut files = Vec::new();
    for script in KsScript::ALL {
        let task = [
            ("candidate", "global2a-pgserver0"),
            ("dark", "10.8.5.13"),
            ("database", "global"),
            ("databases", "global recovery"),
            ("follower", "global2a-pgserver0"),
            ("id", "verify-r1-10.8.4.11"),
            ("ids", "verify-r1-10.8.4.11"),
            ("leader", "global1a-pgserver0"),
            ("names", "ANY 1 (\"global2a-pgserver0\")"),
            ("others", "10.8.5.11 10.8.5.12"),
            ("peers", "10.8.4.11 10.8.4.12"),
            ("primary", "10.8.5.12"),
            ("remaining", "10.8.4.13 10.8.4.14"),
            ("room", "global2a"),
            ("slot", "global1a"),
            ("survivors", "10.8.4.13 10.8.4.14"),
            ("table", "requests"),
        ]
        .into_iter()
        .fold(
            KsTask::new(script, cluster.hosts[0].address),
            |task, (name, value)| task.with(name, value),
        );
        let flags = [
            "cache",
            "given_up",
            "memcached",
            "pgpool",
            "planned",
            "proxy",
            "room_has_own_cluster",
            "services",
            "strict",
            "zookeeper",
        ];
        let task = flags
            .into_iter()
            .fold(task, |task, name| task.with(name, true));
        let zones = serde_json::json!([{"name": "alpha", "status": "faulty"}]);
        let task = task.with("zones", zones);
        let stage = Outline {
            name: "ks".into(),
            tasks: vec![task.into()],
            max_in_flight: None,
            canaries: 0,
            max_failures: None,
        };
        let operation = Operation {
            name: "ks",
            stages: vec![stage],
        };
        let plan = planner.resolve(&operation).unwrap();
        let file = golden(&format!("ks/{}.sh", script.name()));
        assert_golden(&file, &plan.stages[0].steps[0].script);
        files.push(file);
    }
    assert_shellcheck_clean(&files);
}

#[test]
fn bootstrap_and_probe() {
    let catalog = catalog();
    let mut cluster = cluster("config/cluster.yml", &catalog);
    // A digest that doesn't change with every change of the example release.
    let url = |name: &str| Artifact::Url {
        url: format!("https://releases.example/{name}.tar.gz"),
        sha256: "0123456789abcdef".repeat(4),
    };
    cluster.release = Some(Release {
        micro_paas: Some(url("micro-paas")),
        paas_release: ReleaseSource::Artifact(url("paas-release")),
        place: None,
    });
    let release = PreparedRelease::prepare(cluster.release.as_ref().unwrap()).unwrap();
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let (secrets, facts) = (secrets(), Facts::default());
    let planner = Planner {
        cluster: &cluster,
        catalog: &catalog,
        release: Some(&release),
        secrets: &secrets,
        facts: &facts,
        run: &run,
        force: false,
        below_min_up: false,
        site_packages: None,
    };
    let selection = cluster.select(&[], &["10.1.59.175".to_owned()]).unwrap();
    let mut files = Vec::new();
    for (operation, name) in [
        (bootstrap(&cluster, &selection), "bootstrap.sh"),
        (probe(&cluster, &selection, &[]), "probe.sh"),
        (runs(&cluster, &selection), "runs.sh"),
        (
            remove(&cluster, &[], &["10.1.59.175".parse().unwrap()]),
            "remove_host.sh",
        ),
    ] {
        let plan = planner.resolve(&operation).unwrap();
        let [step] = &plan.stages[0].steps[..] else {
            panic!("one step is expected")
        };
        assert_golden(&golden(name), &step.script);
        files.push(golden(name));
    }
    assert_shellcheck_clean(&files);
}

/// A template's author may move it to `jobs_dir` and back: both engines write the same bytes.
#[test]
fn both_engines_render_every_job_alike() {
    let catalog = catalog();
    let cluster = cluster("config/cluster.yml", &catalog);
    let secrets = secrets();
    for component in &cluster.components {
        let instance = component.instances.last().unwrap();
        let context = Context {
            cluster: &cluster,
            component,
            instance,
            secrets: &secrets,
            site_packages: None,
        };
        let job = catalog.get(&component.name).unwrap();
        let mut values = job.values(&context).unwrap();
        for hostile in ["", "it's; rm -rf $(pwd) `id` \\ \"x\" #é\n-n"] {
            // Every text of the job, as bad as can be.
            let names: Vec<String> = values
                .iter()
                .filter(|(_, input)| input.value.is_string())
                .map(|(name, _)| name.to_owned())
                .collect();
            for name in names {
                values.set(&name, hostile);
            }
            let whole = job.render(Action::Deploy, &values).unwrap();
            let (name, template) = job.template();
            let part = render_site_template(name, template, &values).unwrap();
            assert!(
                whole.contains(part.trim_end_matches('\n')),
                "{name}:\n{part}"
            );
            let prelude = include_str!("../cluster_jobs/prelude.sh");
            let prelude = render_site_template("prelude.sh", prelude, &values).unwrap();
            assert!(
                whole.starts_with(prelude.trim_end_matches('\n')),
                "{prelude}"
            );
        }
    }
}

/// The parts around the jobs' own: their values are lists, which only a loop can show.
#[test]
fn both_engines_render_the_frame_alike() {
    use paas_cluster_build::script::Values;
    let catalog = catalog();
    let cluster = cluster("config/cluster.yml", &catalog);
    let secrets = secrets();
    let component = cluster.component("dea_ng").unwrap();
    let instance = &component.instances[0];
    let context = Context {
        cluster: &cluster,
        component,
        instance,
        secrets: &secrets,
        site_packages: None,
    };
    let job = catalog.get("dea_ng").unwrap();
    let values = job.values(&context).unwrap();
    let services = ["warden", "dea_ng", "directory_server"];
    let reversed = ["directory_server", "dea_ng", "warden"];
    let none: [&str; 0] = [];

    let mut health = Values::new();
    health.set("services", services);
    health.set("units", none);
    health.set("tcp", [5678]);
    health.set("http", none);
    health.set("entries", none);
    health.set("status_pages", none);
    health.set("commands", none);
    let logs_of = |name: &str| {
        let log = |kind: &str| format!("vcap/sys/log/{name}.{kind}");
        [log("log"), log("stdout.log"), log("stderr.log")]
    };
    let logs = ["dea_ng", "warden", "directory_server"].map(logs_of);
    health.set("logs", logs.concat());
    health.set("timeout", 90);
    let template = include_str!("../cluster_jobs/health.sh");
    let part = render_site_template("health.sh", template, &health).unwrap();
    let whole = job.render(Action::Health, &values).unwrap();
    assert!(whole.contains(part.trim_end_matches('\n')), "{part}");

    let mut control = Values::new();
    control.set("starts", true);
    control.set("stops", true);
    control.set("services", services);
    control.set("units", none);
    control.set("services_reversed", reversed);
    control.set("units_reversed", none);
    let template = include_str!("../cluster_jobs/control.sh");
    let part = render_site_template("control.sh", template, &control).unwrap();
    let whole = job.render(Action::Restart, &values).unwrap();
    assert!(whole.contains(part.trim_end_matches('\n')), "{part}");
}
