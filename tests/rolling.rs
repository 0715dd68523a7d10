//! How a component is kept up: the bounds and the order that the planner gives to a stage.

mod common;

use std::path::Path;

use common::{catalog, secrets};
use paas_cluster_build::cluster_file::ClusterFile;
use paas_cluster_build::job::Action;
use paas_cluster_build::model::Cluster;
use paas_cluster_build::operation::control;
use paas_cluster_build::plan::{
    Facts, HostFacts, HostState, PlanError, Planner, Receipt, RunIdentity, Stage, Stamp,
};
use paas_cluster_build::script::Values;

/// What is known of a router's host.
#[derive(Clone, Copy)]
enum Is {
    Up,
    Leading,
    Ill,
    New,
    Unreachable,
}

/// Plans a restart of the routers `10.0.0.1` and so on, of which this is known.
fn restart(min_up: &str, known: &[Is]) -> Result<Stage, Vec<PlanError>> {
    let addresses: Vec<String> = (1..=known.len()).map(|n| format!("10.0.0.{n}")).collect();
    let text = format!(
        "components: [nats, router]\nserver:\n  nats: {{ip: 10.0.0.9}}\n  router: {{ip: [{}]{min_up}}}\n",
        addresses.join(", ")
    );
    let catalog = catalog();
    let (file, problems) = ClusterFile::parse(Path::new("cluster.yml"), &text);
    assert!(problems.is_empty(), "{problems:?}");
    let cluster = Cluster::new(&file.unwrap(), &catalog.facts(), None).unwrap();
    let run = RunIdentity {
        id: "r1".into(),
        operator: "ada".into(),
        workstation: "desk".into(),
    };
    let mut facts = Facts::default();
    for (address, is) in addresses.iter().zip(known) {
        let mut host = HostFacts::default();
        let stamp = Stamp::new("router", "deploy", "", &Values::new(), &run);
        let receipt = Receipt {
            stamp,
            status: 0,
            stopped: None,
            started: 1,
            finished: 2,
            boot_id: String::new(),
        };
        match is {
            Is::New | Is::Unreachable => {}
            Is::Ill => {
                host.receipts.insert("router".into(), receipt);
                host.health.insert("router".into(), Err("ill".into()));
            }
            Is::Up | Is::Leading => {
                host.receipts.insert("router".into(), receipt);
                host.health.insert("router".into(), Ok(()));
            }
        }
        if matches!(is, Is::Leading) {
            host.leads.insert("router".into());
        }
        let state = match is {
            Is::Unreachable => HostState::Unknown {
                kind: "timeout".into(),
                why: "no answer".into(),
            },
            _ => HostState::Known(Box::new(host)),
        };
        facts.hosts.insert(address.parse().unwrap(), state);
    }
    let planner = Planner {
        cluster: &cluster,
        catalog: &catalog,
        release: None,
        secrets: &secrets(),
        facts: &facts,
        run: &run,
        force: false,
        below_min_up: false,
        site_packages: None,
    };
    let selection = cluster.select(&["router".to_owned()], &[]).unwrap();
    let plan = planner.resolve(&control(&cluster, &selection, Action::Restart))?;
    Ok(plan.stages.into_iter().next().unwrap())
}

fn order(stage: &Stage) -> Vec<String> {
    let hosts = stage.steps.iter().map(|step| step.id.host.to_string());
    hosts.map(|host| host.replace("10.0.0.", "")).collect()
}

use Is::{Ill, Leading, New, Unreachable, Up};

#[test]
fn one_stays_up_unless_the_file_says_more() {
    let stage = restart("", &[Up, Up, Up]).unwrap();
    assert_eq!((stage.room, stage.max_in_flight), (Some(2), Some(1)));
    assert_eq!(restart(", min_up: 2", &[Up, Up, Up]).unwrap().room, Some(1));
    assert_eq!(
        restart("", &[Up]).unwrap().room,
        Some(1),
        "a single one may go down"
    );
}

#[test]
fn what_is_down_comes_first_and_the_leader_last() {
    let stage = restart("", &[Leading, Up, Ill]).unwrap();
    assert_eq!(order(&stage), ["3", "2", "1"]);
    assert_eq!((stage.leaders, stage.room), (1, Some(1)));
}

#[test]
fn what_cannot_be_reached_counts_as_down() {
    let stage = restart("", &[Up, Up, Unreachable]).unwrap();
    assert_eq!(stage.room, Some(1));
    let errors = restart(", min_up: 2", &[Up, New, Up]).unwrap_err();
    assert!(
        errors[0].message.contains("2 of 3"),
        "{}",
        errors[0].message
    );
    assert!(errors[0].message.contains("--below-min-up"));
}

#[test]
fn what_is_wholly_down_is_started_all_together() {
    let stage = restart("", &[Ill, Ill, Ill]).unwrap();
    assert_eq!(
        (stage.room, stage.max_in_flight, stage.max_failures),
        (None, None, None)
    );
}

#[test]
fn bringing_up_too_few_is_no_room() {
    // Two of four are down, and only one of them can come up: a third can't be spared.
    let errors = restart(", min_up: 3", &[Ill, Unreachable, Up, Up]).unwrap_err();
    assert!(
        errors[0].message.contains("2 of 4"),
        "{}",
        errors[0].message
    );
    // Both come up, and first: then one of the others may go down.
    let stage = restart(", min_up: 3", &[Up, Ill, Up, Ill]).unwrap();
    assert_eq!(order(&stage)[..2], ["2", "4"]);
    assert_eq!(stage.room, Some(1));
}
