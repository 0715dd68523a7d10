//! Operations on the global control plane.

use std::fs;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use paas_cluster_build::cluster_file;
use paas_cluster_build::engine::Limits;
use paas_cluster_build::ks::{
    self, Database, Db, Directive, HostView, KsFacts, KsPlan, Site, Switch, parse_directive,
};
use paas_cluster_build::model::{GlobalKs, Scheme};
use paas_cluster_build::operation::Operation;
use paas_cluster_build::report;
use serde_json::json;

use super::build::resume_line;
use crate::args::{Common, KsAction, KsChange, Showing, ZoneAction};
use crate::conductor::{Conductor, describe};
use crate::confirm::{Harm, confirm};
use crate::exit::{Exit, Failure};
use crate::source::Source;
use crate::survey::Survey;
use crate::workspace::Workspace;

/// `ks`: looks at the global control plane, or switches it.
pub fn ks(common: &Common, action: &KsAction) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let global = global_ks(&workspace)?;
    let limits = match action {
        KsAction::Failover { change, .. }
        | KsAction::Failback { change, .. }
        | KsAction::RecoverPg { change, .. } => change.options.limits(),
        _ => Limits::with_forks(50),
    };
    let conductor = Conductor::new(&workspace, common, limits)?;
    let wished = wish(action, global)?;
    let facts = look(&conductor, global)?;
    let site = site(&conductor, global, &facts);
    match action {
        KsAction::Info { json } => {
            show(*json, &info_json(&site), || report::ks_info(&site));
            Ok(well(site.serving_room().is_some()))
        }
        KsAction::CheckPg { db, json } => {
            let database = database(&site, (*db).into())?;
            show(*json, &report::check_pg_json(&site, &database), || {
                report::check_pg(&site, &database)
            });
            let is_well = database.is_protected()
                && database.strays().is_empty()
                && !database.lacks_strictness();
            Ok(well(is_well))
        }
        KsAction::Doctor { json } => {
            let answers = ks::doctor(&site);
            show(*json, &json!(answers), || report::answers(&answers));
            Ok(well(
                answers.iter().all(|answer| answer.is_well != Some(false)),
            ))
        }
        KsAction::Advise { json } => {
            let advice = ks::advise(&site);
            show(*json, &json!(advice), || {
                let lines = advice.iter().map(|line| report::printable(line) + "\n");
                lines.collect()
            });
            Ok(Exit::Done)
        }
        KsAction::RecoverPg {
            db,
            primary,
            change,
        } => {
            database(&site, (*db).into())?;
            let given_up = change.confirm.as_deref();
            let plan = ks::recover(&site, (*db).into(), primary, given_up);
            carry_out_change(&conductor, &plan, change)
        }
        KsAction::Failover { change, .. } | KsAction::Failback { change, .. } => {
            let wished = wished.ok_or_else(|| Failure::usage("which room?"))?;
            carry_out_change(&conductor, &ks::switch(&site, &wished), change)
        }
    }
}

/// `zone`: how zones are, as the global control plane notes it.
pub fn zone(common: &Common, action: &ZoneAction) -> Result<Exit, Failure> {
    let workspace = Workspace::load(common)?;
    let global = global_ks(&workspace)?;
    let (zone, status, showing, options) = match action {
        ZoneAction::SetStatus {
            zone,
            status,
            showing,
            options,
        } => (zone, status.as_str(), showing, options),
        ZoneAction::Activate {
            zone,
            showing,
            options,
        } => (zone, "active", showing, options),
    };
    known_zone(global, zone)?;
    let conductor = Conductor::new(&workspace, common, options.limits())?;
    let facts = look(&conductor, global)?;
    let site = site(&conductor, global, &facts);
    let zones = [(zone.clone(), status.to_owned())];
    let plan = ks::set_zones(&site, &zones);
    if !shown(&plan, showing) {
        return Ok(well(plan.is_go()));
    }
    run(&conductor, &plan.operation, options.yes, Harm::None)
}

/// `explain scheme`: needs no cluster file.
pub fn explain(name: Option<&str>) -> Result<Exit, Failure> {
    let schemes = match name {
        None => Scheme::ALL.to_vec(),
        Some(name) => vec![Scheme::named(name).ok_or_else(|| {
            let known = Scheme::ALL.iter().map(|scheme| scheme.name());
            let help = cluster_file::suggest(name, known).unwrap_or_default();
            Failure::usage(format!("there is no scheme `{name}`; {help}"))
        })?],
    };
    let texts: Vec<String> = schemes.into_iter().map(ks::explain).collect();
    out!("{}", texts.join("\n\n"));
    Ok(Exit::Done)
}

/// `directive`: a JSON directive of the former system, answered as it answered.
pub fn directive(common: &Common, text: &str, word: Option<&str>) -> Result<Exit, Failure> {
    let parsed = match parse_directive(text) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error.to_string()),
    };
    let workspace = Workspace::load(common)?;
    let global = global_ks(&workspace)?;
    let conductor = Conductor::new(&workspace, common, Limits::with_forks(50))?;
    let facts = look(&conductor, global)?;
    let site = site(&conductor, global, &facts);
    let (words, plan) = match &parsed {
        Directive::Info => {
            let mut answer = info_json(&site);
            answer["ret_code"] = json!(0);
            answer["action"] = json!("GetGlobalKSInfoResponse");
            outln!("{answer}");
            return Ok(Exit::Done);
        }
        Directive::CheckPg(db) => {
            let database = match database(&site, *db) {
                Ok(database) => database,
                Err(failure) => return refuse(&failure.message),
            };
            let mut answer = report::check_pg_json(&site, &database);
            answer["action"] = json!("CheckPGResponse");
            answer["ret_code"] = json!(0);
            answer["db_name"] = json!(db.name());
            outln!("{answer}");
            return Ok(Exit::Done);
        }
        Directive::RecoverPg { db, primary } => (
            vec!["ks", "recover-pg", "--db", db.name(), "--primary", primary],
            ks::recover(&site, *db, primary, word),
        ),
        Directive::Failover { to, disaster_zone } => {
            let wished = match checked(global, to, false, disaster_zone.as_deref(), word) {
                Ok(wished) => wished,
                Err(failure) => return refuse(&failure.message),
            };
            let mut words = vec!["ks", "failover", "--to", to];
            if let Some(zone) = disaster_zone {
                words.extend(["--disaster-zone", zone]);
            }
            (words, ks::switch(&site, &wished))
        }
        Directive::Failback { to } => {
            let wished = match checked(global, to, true, None, word) {
                Ok(wished) => wished,
                Err(failure) => return refuse(&failure.message),
            };
            let plan = ks::switch(&site, &wished);
            (vec!["ks", "failback", "--to", to], plan)
        }
        Directive::SetZone { zone, status } => {
            if let Err(failure) = known_zone(global, zone) {
                return refuse(&failure.message);
            }
            let zones = [(zone.clone(), status.clone())];
            (
                vec!["zone", "set-status", zone, status],
                ks::set_zones(&site, &zones),
            )
        }
        Directive::ActivateZone { zone } => {
            if let Err(failure) = known_zone(global, zone) {
                return refuse(&failure.message);
            }
            let zones = [(zone.clone(), "active".to_owned())];
            (vec!["zone", "activate", zone], ks::set_zones(&site, &zones))
        }
    };
    err!("{}", report::ks_plan(&plan));
    if !plan.is_go() {
        return refuse("a gate is closed; see above");
    }
    if plan.operation.stages.is_empty() {
        // No run, so no id either.
        let answer = json!({"ret_code": 0, "message": "nothing is to be done"});
        outln!("{answer}");
        return Ok(Exit::Done);
    }
    if let Some(room) = &plan.unfenced
        && word != Some(room)
    {
        return refuse(&format!(
            "{room} can't be asked and may still take writes; add `--confirm {room}` if it is \
             dark, or cut off for good"
        ));
    }
    start_apart(common, &conductor, &words, word)
}

fn refuse(why: &str) -> Result<Exit, Failure> {
    outln!("{}", json!({"ret_code": 1, "message": why}));
    Ok(Exit::Usage)
}

/// The former system answered at once and worked on; so a process of its own carries it out, under
/// the run's id, which `runs` and `attach` know.
fn start_apart(
    common: &Common,
    conductor: &Conductor<'_>,
    words: &[&str],
    word: Option<&str>,
) -> Result<Exit, Failure> {
    Source::of(&common.config).again("`directive`")?;
    let id = &conductor.run.id;
    let folder = conductor
        .state_dir()?
        .join(&conductor.workspace.cluster.name);
    fs::create_dir_all(&folder)?;
    let log = fs::File::create(folder.join(format!("directive-{id}.log")))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("-c")
        .arg(&common.config)
        .arg("--state-dir")
        .arg(conductor.state_dir()?)
        .args(words)
        .arg("--yes")
        .args(
            word.iter()
                .filter(|_| words[0] == "ks")
                .flat_map(|word| ["--confirm", word]),
        )
        .env("PAAS_RUN_ID", id)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A group of its own: a Ctrl-C here isn't meant for it.
        .process_group(0);
    command.spawn()?;
    outln!("{}", json!({"ret_code": 0, "uuid": id}));
    Ok(Exit::Done)
}

fn global_ks(workspace: &Workspace) -> Result<&GlobalKs, Failure> {
    workspace.cluster.global_ks.as_ref().ok_or_else(|| {
        Failure::usage(format!(
            "{} carries no global control plane: it has no `global_ks`",
            workspace.cluster.file.display()
        ))
    })
}

/// What a switch is to do, where it's one.
fn wish(action: &KsAction, global: &GlobalKs) -> Result<Option<Switch>, Failure> {
    let wished = match action {
        KsAction::Failover {
            to,
            disaster_zone,
            change,
        } => {
            let zone = disaster_zone.as_deref();
            checked(global, to, false, zone, change.confirm.as_deref())
        }
        KsAction::Failback { to, change } => {
            checked(global, to, true, None, change.confirm.as_deref())
        }
        _ => return Ok(None),
    };
    wished.map(Some)
}

/// A switch whose room and zone are the file's.
fn checked(
    global: &GlobalKs,
    to: &str,
    back: bool,
    disaster_zone: Option<&str>,
    given_up: Option<&str>,
) -> Result<Switch, Failure> {
    known_room(global, to)?;
    if let Some(zone) = disaster_zone {
        known_zone(global, zone)?;
    }
    Ok(Switch {
        to: to.to_owned(),
        back,
        disaster_zone: disaster_zone.map(str::to_owned),
        given_up: given_up.map(str::to_owned),
    })
}

fn known_room(global: &GlobalKs, name: &str) -> Result<(), Failure> {
    if global.room(name).is_some() {
        return Ok(());
    }
    let rooms = global.rooms.iter().map(|room| room.name.as_str());
    let help = cluster_file::suggest(name, rooms).unwrap_or_default();
    Err(Failure::usage(format!("there is no room `{name}`; {help}")))
}

fn known_zone(global: &GlobalKs, name: &str) -> Result<(), Failure> {
    let zones = || global.rooms.iter().filter_map(|room| room.zone.as_deref());
    if zones().any(|zone| zone == name) {
        return Ok(());
    }
    let help = cluster_file::suggest(name, zones()).unwrap_or_default();
    Err(Failure::usage(format!(
        "no room of global_ks has the zone `{name}`; {help}"
    )))
}

fn database<'a>(site: &Site<'a>, db: Db) -> Result<Database<'a>, Failure> {
    let database = site.database(db);
    if database.servers.is_empty() {
        return Err(Failure::usage(format!(
            "there is no {} database: no component runs `{}`",
            db.name(),
            db.job()
        )));
    }
    Ok(database)
}

/// Looks at every host of the global control plane, read-only.
fn look(conductor: &Conductor<'_>, global: &GlobalKs) -> Result<KsFacts, Failure> {
    let operation = ks::look(&conductor.workspace.cluster, global);
    let plan = conductor.plan(&operation, &blind(), false)?;
    let outcome = conductor.ask(&plan)?;
    let mut facts = KsFacts::default();
    for (host, unreachable) in outcome.unreachable {
        facts.silent.insert(host, unreachable.error);
    }
    for (id, result) in &outcome.results {
        match outcome.outputs.get(id) {
            Some(answer) => {
                facts.hosts.insert(id.host, HostView::parse(&answer.text));
            }
            None => {
                facts
                    .silent
                    .entry(id.host)
                    .or_insert_with(|| describe(result));
            }
        }
    }
    Ok(facts)
}

fn site<'a>(conductor: &'a Conductor<'_>, global: &'a GlobalKs, facts: &'a KsFacts) -> Site<'a> {
    Site {
        cluster: &conductor.workspace.cluster,
        ks: global,
        facts,
        run: &conductor.run.id,
    }
}

/// Nothing of what these scripts are made of is secret, and they look for themselves.
fn blind() -> Survey {
    Survey::blind(Default::default())
}

fn info_json(site: &Site<'_>) -> serde_json::Value {
    json!({
        "scheme": site.ks.scheme.name(),
        "ks_master_zone": site.serving_room(),
        "hosts": site.facts.hosts,
        "silent": site.facts.silent,
    })
}

fn show(as_json: bool, value: &serde_json::Value, text: impl FnOnce() -> String) {
    match as_json {
        true => outln!("{value}"),
        false => out!("{}", text()),
    }
}

fn well(is_well: bool) -> Exit {
    if is_well { Exit::Done } else { Exit::Failed }
}

/// Shows a plan; whether there is anything to go on with.
fn shown(plan: &KsPlan, showing: &Showing) -> bool {
    if showing.json {
        outln!("{}", plan_json(plan));
    } else {
        err!("{}", report::ks_plan(plan));
    }
    plan.is_go() && !showing.rehearse && !plan.operation.stages.is_empty()
}

/// Shows the gates; goes on where all are open, after the questions that only a person can answer.
fn carry_out_change(
    conductor: &Conductor<'_>,
    plan: &KsPlan,
    change: &KsChange,
) -> Result<Exit, Failure> {
    if !shown(plan, &change.showing) {
        return Ok(well(plan.is_go()));
    }
    if let Some(room) = &plan.unfenced {
        name_the_room(room, change.confirm.as_deref())?;
    }
    run(
        conductor,
        &plan.operation,
        change.options.yes,
        Harm::Destructive,
    )
}

fn plan_json(plan: &KsPlan) -> serde_json::Value {
    let stages = plan.operation.stages.iter().map(|stage| {
        let hosts: Vec<String> = stage
            .tasks
            .iter()
            .map(|task| task.host().to_string())
            .collect();
        json!({"name": stage.name, "hosts": hosts})
    });
    json!({
        "operation": plan.operation.name,
        "go": plan.is_go(),
        "gates": plan.gates,
        "stages": stages.collect::<Vec<_>>(),
        "point_of_no_return": plan.point_of_no_return,
        "loses": plan.loses,
        "expected_seconds": plan.expected_seconds,
        "unfenced": plan.unfenced,
    })
}

/// A room that can't be asked may still take writes: whoever goes on types its name.
fn name_the_room(room: &str, given: Option<&str>) -> Result<(), Failure> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None if stdin().is_terminal() => {
            let mut line = String::new();
            write!(
                stderr(),
                "{room} can't be asked and may still take writes. Type its name if it's dark, or cut \
                 off for good: "
            )?;
            stdin().lock().read_line(&mut line)?;
            line.trim().to_owned()
        }
        None => {
            return Err(Failure::usage(format!(
                "{room} can't be asked and may still take writes; add `--confirm {room}` if it's \
                 dark, or cut off for good"
            )));
        }
    };
    if typed == room {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Cancelled,
        format!("`{typed}` isn't {room}; nothing was changed"),
    ))
}

fn run(
    conductor: &Conductor<'_>,
    operation: &Operation,
    yes: bool,
    harm: Harm,
) -> Result<Exit, Failure> {
    let plan = conductor.plan(operation, &blind(), false)?;
    let file = conductor.workspace.cluster.file.display().to_string();
    confirm(conductor, &plan, &file, yes, harm)?;
    conductor.run(&plan, &resume_line())
}
