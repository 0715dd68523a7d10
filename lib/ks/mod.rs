//! Operations on the global control plane: what its hosts say, which gates stand before a change,
//! and the stages that make the change. Everything here is data; the one engine carries it out.

mod advise;
mod checks;
mod database;
mod directive;
mod doctor;
mod explain;
mod facts;
mod gate;
mod look;
mod majority;
mod proof;
mod recover;
mod stages;
mod switch;
mod zone;

pub use advise::advise;
pub use database::{Database, Db, Server};
pub use directive::{Directive, DirectiveError, parse_directive};
pub use doctor::{Answer, doctor};
pub use explain::explain;
pub use facts::{Follower, GivenUp, Health, HostView, KsFacts, Role, ServerView};
pub use gate::{Gate, Verdict};
pub use look::look;
pub use recover::recover;
pub use switch::{Switch, switch};
pub use zone::set_zones;

use crate::model::{Cluster, GlobalKs};
use crate::operation::Operation;

/// What is known and meant when an operation is planned.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Its global control plane.
    pub ks: &'a GlobalKs,
    /// What its hosts say.
    pub facts: &'a KsFacts,
    /// The run's id: what is written to verify has it in its name.
    pub run: &'a str,
}

impl<'a> Site<'a> {
    /// Puts together what is known of a database.
    pub fn database(&self, db: Db) -> Database<'a> {
        Database::of(self.cluster, self.ks, self.facts, db)
    }

    /// The room that serves, where only one does: the one whose database takes writes.
    pub fn serving_room(&self) -> Option<&'a str> {
        self.database(Db::Global)
            .primary()
            .map(|primary| primary.room)
    }
}

/// An operation with everything that has to be known before it's carried out.
#[derive(Debug)]
pub struct KsPlan {
    /// The questions that were asked, each with its finding.
    pub gates: Vec<Gate>,
    /// What is to be done; empty where nothing is.
    pub operation: Operation,
    /// The stage after which there is no way back but another switch.
    pub point_of_no_return: Option<String>,
    /// How long it takes, in seconds, as it was measured.
    pub expected_seconds: u64,
    /// What may be lost.
    pub loses: String,
    /// The room that can't be asked and may still be writing: a person has to name it.
    pub unfenced: Option<String>,
}

impl KsPlan {
    /// Begins a plan that does nothing yet.
    fn new(name: &'static str, expected_seconds: u64) -> KsPlan {
        KsPlan {
            gates: Vec::new(),
            operation: Operation {
                name,
                stages: Vec::new(),
            },
            point_of_no_return: None,
            expected_seconds,
            loses: "nothing".to_owned(),
            unfenced: None,
        }
    }

    /// Whether no gate is closed.
    pub fn is_go(&self) -> bool {
        self.gates.iter().all(|gate| gate.verdict != Verdict::NoGo)
    }
}
