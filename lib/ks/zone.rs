//! How zones are, as the global database notes it.

use super::checks::one_primary;
use super::database::Db;
use super::gate::Gate;
use super::{KsPlan, Site, stages};

/// Plans to note zones' status: pairs of a zone and `faulty` or `active`.
pub fn set_zones(site: &Site<'_>, zones: &[(String, String)]) -> KsPlan {
    let database = site.database(Db::Global);
    let mut plan = KsPlan::new("zone-set-status", 1);
    one_primary(&database, &mut plan.gates);
    let question = "can it be noted?";
    match database.primary() {
        Some(primary) => {
            plan.gates.push(Gate::go(
                question,
                format!("in the table `zones`, on {}", primary.name),
            ));
            plan.operation
                .stages
                .push(stages::note(primary.host, "", zones));
        }
        None => plan.gates.push(Gate::no(
            question,
            "the global database has no one primary; `ks check-pg --db global` shows it",
        )),
    }
    plan
}
