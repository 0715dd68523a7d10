//! What one command printed on many hosts: hosts that said the same are shown together.

use std::net::IpAddr;

use super::fit::{Look, wrap};
use super::table::{Tone, host_list, number, paint, printable};

/// What a command did on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// The host's address.
    pub host: IpAddr,
    /// How it ended.
    pub end: ExecEnd,
    /// What it printed: standard output and standard error as they came.
    pub output: String,
}

/// How a command ended on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEnd {
    /// With this exit status.
    Exited(i32),
    /// It couldn't be run or followed there, for this reason.
    Unreachable(String),
}

/// Writes each different result once, below the hosts that gave it; the most common comes first,
/// so that the odd hosts stand at the end.
pub fn exec_text(results: &[ExecResult], look: impl Into<Look>) -> String {
    let look = look.into();
    let mut groups: Vec<(&ExecResult, Vec<IpAddr>)> = Vec::new();
    for result in results {
        let same = |(of, _): &&mut (&ExecResult, Vec<IpAddr>)| {
            of.end == result.end && of.output.trim_end() == result.output.trim_end()
        };
        match groups.iter_mut().find(same) {
            Some((_, hosts)) => hosts.push(result.host),
            None => groups.push((result, vec![result.host])),
        }
    }
    // Stable: groups of the same size stay in the order of their first host.
    groups.sort_by_key(|(_, hosts)| std::cmp::Reverse(hosts.len()));
    let mut out = String::new();
    for (result, hosts) in groups {
        let (words, tone) = match &result.end {
            ExecEnd::Exited(0) => ("ok".to_owned(), Tone::Good),
            ExecEnd::Exited(status) => (format!("exit status {status}"), Tone::Bad),
            ExecEnd::Unreachable(why) => (format!("unreachable: {}", printable(why)), Tone::Bad),
        };
        let count = match hosts.len() {
            1 => String::new(),
            n => format!("{}: ", number(n, "host")),
        };
        let words = paint(&words, tone, look.colour);
        let heading = format!("{count}{} ({words})\n", host_list(hosts));
        out.push_str(&wrap(&heading, look.width));
        let output = result.output.trim_end();
        for line in output.lines() {
            let line = line.replace('\t', "    ");
            out.push_str(format!("  {}", printable(&line)).trim_end());
            out.push('\n');
        }
    }
    out
}
