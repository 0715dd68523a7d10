//! What a look at a host asks: the health of everything that the cluster file puts there, and who leads.

use std::net::IpAddr;

use super::bootstrap;
use super::probe::HealthCheck;
use super::resolve::{PlanError, Planner};
use crate::job::Action;
use crate::operation::BOOTSTRAP;

impl Planner<'_> {
    /// The checks of everything that the cluster file puts on a host, in order.
    pub(super) fn health_checks(&self, host: IpAddr) -> Result<Vec<HealthCheck>, PlanError> {
        let machine = self.host(host)?;
        let home = self.home(machine);
        let mut checks = vec![HealthCheck {
            step: BOOTSTRAP.to_owned(),
            script: bootstrap::health_script(
                &self.bootstrap_values(machine),
                &machine.ssh.user,
                &home,
                self.release.is_some(),
            ),
        }];
        for component in &self.cluster.components {
            let Some(instance) = component.instances.iter().find(|i| i.address == host) else {
                continue;
            };
            for name in &component.jobs {
                let (_, _, job) = self.find(&component.name, host, name)?;
                let values = job.values(&self.context(component, instance))?;
                let script = job.render(Action::Health, &values)?;
                checks.push(HealthCheck {
                    step: component.step_name(name),
                    script,
                });
            }
        }
        Ok(checks)
    }

    /// The questions for leaders, of the jobs that have one.
    pub(super) fn leader_checks(&self, host: IpAddr) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        for component in &self.cluster.components {
            if !component.instances.iter().any(|i| i.address == host) {
                continue;
            }
            for name in &component.jobs {
                let leader = self.catalog.get(name).and_then(|job| job.leader());
                checks.extend(leader.map(|script| HealthCheck {
                    step: component.step_name(name),
                    script: script.to_owned(),
                }));
            }
        }
        checks
    }
}
