//! A plan: every step of an operation, rendered and in order, each with the reason why it runs or
//! doesn't, before any host is touched.

mod step;

pub use step::{Decision, Mode, Plan, Reason, Stage, Step, StepId, Upload};
