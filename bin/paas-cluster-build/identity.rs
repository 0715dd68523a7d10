//! Who runs what: the operator, this machine, and a new run's id.

use std::process::Command;

use paas_cluster_build::plan::RunIdentity;

use crate::exit::Failure;

/// Makes the identity of a new run; its id sorts by time: `20261121T014500Z-3f9a`.
pub fn new_run() -> RunIdentity {
    let mut random = [0; 3];
    // Without the kernel's random numbers the time alone has to do.
    let _ = getrandom::fill(&mut random);
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let fresh = || {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        format!("{now}-{random}")
    };
    // A directive has told its caller the id already.
    let told = std::env::var("PAAS_RUN_ID").ok();
    let is_id = |id: &String| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    RunIdentity {
        id: told.filter(is_id).unwrap_or_else(fresh),
        operator: operator(),
        workstation: workstation(),
    }
}

/// Makes the id of a cluster that nobody has built yet.
pub fn new_cluster() -> Result<String, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::usage(format!("no random numbers: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn operator() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(|| said_by("id", &["-un"]))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn workstation() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| said_by("hostname", &[]))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    // It needs nothing of this process's environment, which may hold secrets.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = Command::new(program)
        .env_clear()
        .env("PATH", path)
        .args(arguments)
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}
