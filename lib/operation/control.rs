//! Starts, stops and restarts what is installed.

use super::{Operation, build::job_stages};
use crate::job::Action;
use crate::model::{Cluster, Selection};

/// Outlines a start, stop or restart of the selected components; a stop goes in the reverse order.
///
/// A restart of a component with several instances takes one host at a time unless the file sets
/// `max_in_flight`, so that the component as a whole stays up.
pub fn control(cluster: &Cluster, selection: &Selection, action: Action) -> Operation {
    let mut stages = job_stages(cluster, selection, action);
    match action {
        Action::Stop => stages.reverse(),
        Action::Restart => {
            for stage in &mut stages {
                stage.max_in_flight = stage.max_in_flight.or(Some(1));
                stage.max_failures = stage.max_failures.or(Some(0));
            }
        }
        _ => {}
    }
    Operation {
        name: action.name(),
        stages,
    }
}
