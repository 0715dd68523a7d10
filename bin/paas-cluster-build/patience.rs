//! How long a command waits for hosts: its deadline, the names of those that are silent, and a
//! runtime that doesn't wait for them at its end.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use paas_cluster_build::engine::EventReceiver;
use paas_cluster_build::event::Fact;
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure};

/// After how long the hosts that haven't answered are named; again whenever that has doubled.
const FIRST_NAMED: Duration = Duration::from_secs(5);
/// The longest time between two such lines.
const SELDOM: Duration = Duration::from_secs(60);
/// How many hosts such a line names.
const NAMED: usize = 8;

/// A runtime whose end doesn't wait for the threads in which calls to hosts are blocked.
#[derive(Debug)]
pub struct Loose(Option<Runtime>);

impl From<Runtime> for Loose {
    fn from(runtime: Runtime) -> Loose {
        Loose(Some(runtime))
    }
}

impl Deref for Loose {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it's taken only at its end")
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// When a command is ended, counted from its start.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    since: Instant,
    time: Option<Duration>,
}

impl Deadline {
    /// Counts from now, without an end.
    pub fn from_now() -> Deadline {
        Deadline {
            since: Instant::now(),
            time: None,
        }
    }

    /// Ends so long after the start.
    pub fn after(self, time: Option<Duration>) -> Deadline {
        Deadline { time, ..self }
    }

    /// Waits until it's over.
    pub async fn over(self) {
        match self.time {
            Some(time) => tokio::time::sleep_until((self.since + time).into()).await,
            None => std::future::pending().await,
        }
    }

    /// What ends a command that has changed nothing yet.
    pub fn failure(self) -> Failure {
        let time = self.time.unwrap_or_default().as_secs();
        Failure::new(
            Exit::Cancelled,
            format!("the command's --timeout of {time} s is over; nothing was changed"),
        )
    }
}

/// Listens to a look at hosts, and names on standard error those that let it wait.
pub async fn name_the_silent(mut events: EventReceiver, is_quiet: bool) {
    let since = Instant::now();
    let mut asked: BTreeSet<IpAddr> = BTreeSet::new();
    let mut next = FIRST_NAMED;
    loop {
        let due = tokio::time::sleep_until((since + next).into());
        tokio::select! {
            event = events.recv() => match event.map(|event| event.fact) {
                Some(Fact::HostConnecting { host }) => {
                    asked.insert(host);
                }
                Some(Fact::StepStarted { id }) => {
                    asked.insert(id.host);
                }
                Some(Fact::StepFinished { id, .. } | Fact::StepNotStarted { id, .. }) => {
                    asked.remove(&id.host);
                }
                Some(_) => {}
                None => return,
            },
            () = due => {
                if !is_quiet && !asked.is_empty() {
                    let seconds = since.elapsed().as_secs();
                    anstream::eprintln!("still waiting for {} ({seconds} s)", some(&asked));
                }
                next += next.min(SELDOM);
            }
        }
    }
}

/// Names some of the hosts, and counts the others.
fn some(hosts: &BTreeSet<IpAddr>) -> String {
    let words: Vec<String> = hosts.iter().take(NAMED).map(IpAddr::to_string).collect();
    match hosts.len().saturating_sub(NAMED) {
        0 => words.join(", "),
        more => format!("{} and {more} more", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_hosts_are_one_line() {
        let hosts = |count: u8| (1..=count).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        assert_eq!(some(&hosts(2)), "10.0.0.1, 10.0.0.2");
        let many = some(&hosts(200));
        assert!(many.ends_with("10.0.0.8 and 192 more"), "{many}");
    }
}
