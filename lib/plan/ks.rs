//! Renders the scripts of operations on the global control plane.

use super::resolve::PlanError;
use crate::operation::{KsScript, KsTask};
use crate::script::{Values, render_site_template};

/// What each of them begins with.
const COMMON: &str = include_str!("../../deploy/ks/common.sh");

/// Renders one of them.
pub(super) fn render(task: &KsTask) -> Result<(String, Values), PlanError> {
    let mut values = Values::new();
    for (name, value) in &task.values {
        values.set(name, value);
    }
    let name = format!("{}.sh", task.script.name());
    let own =
        render_site_template(&name, text(task.script), &values).map_err(|message| PlanError {
            message,
            place: None,
        })?;
    Ok((format!("{COMMON}\n{}\n", own.trim_end()), values))
}

fn text(script: KsScript) -> &'static str {
    match script {
        KsScript::Look => include_str!("../../deploy/ks/look.sh"),
        KsScript::Switchover => include_str!("../../deploy/ks/switchover.sh"),
        KsScript::Stop => include_str!("../../deploy/ks/stop.sh"),
        KsScript::Promote => include_str!("../../deploy/ks/promote.sh"),
        KsScript::Follow => include_str!("../../deploy/ks/follow.sh"),
        KsScript::Start => include_str!("../../deploy/ks/start.sh"),
        KsScript::WaitFor => include_str!("../../deploy/ks/wait-for.sh"),
        KsScript::Master => include_str!("../../deploy/ks/master.sh"),
        KsScript::Serve => include_str!("../../deploy/ks/serve.sh"),
        KsScript::Forget => include_str!("../../deploy/ks/forget.sh"),
        KsScript::Write => include_str!("../../deploy/ks/write.sh"),
        KsScript::Row => include_str!("../../deploy/ks/row.sh"),
        KsScript::Seen => include_str!("../../deploy/ks/seen.sh"),
        KsScript::Elect => include_str!("../../deploy/ks/elect.sh"),
        KsScript::ZookeeperAlone => include_str!("../../deploy/ks/zookeeper-alone.sh"),
        KsScript::ZookeeperClear => include_str!("../../deploy/ks/zookeeper-clear.sh"),
        KsScript::ZookeeperJoin => include_str!("../../deploy/ks/zookeeper-join.sh"),
    }
}
