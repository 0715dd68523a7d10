//! The script that looks at a host: receipts, health of what has a receipt, disk, clock, ports.

use askama::Template;
use serde::Serialize;

use super::resolve::PlanError;

/// One step's health check, run only where the step has a receipt.
#[derive(Debug, Clone, Serialize)]
pub(super) struct HealthCheck {
    /// The step's name.
    pub step: String,
    /// A whole shell script: exit status 0, or a reason in its last line.
    pub script: String,
}

/// `deploy/probe.sh`.
#[derive(Template, Serialize)]
#[template(path = "probe.sh", config = "config/askama.toml")]
struct ProbeScript {
    checks: Vec<HealthCheck>,
    leaders: Vec<HealthCheck>,
}

/// Tells which machine a host is.
pub const MACHINE: &str = include_str!("../../deploy/machine.sh");

/// Renders the probe of one host.
pub(super) fn render(
    checks: Vec<HealthCheck>,
    leaders: Vec<HealthCheck>,
) -> Result<String, PlanError> {
    let looks = ProbeScript { checks, leaders }.render();
    looks
        .map(|looks| format!("{looks}\n{MACHINE}"))
        .map_err(|error| PlanError {
            message: format!("deploy/probe.sh: {error}"),
            place: None,
        })
}
