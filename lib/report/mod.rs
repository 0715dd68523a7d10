//! Accounts for people and programs: a run's end, a plan, the state of a cluster, outputs, JSON.
//!
//! Each is made at once from data and returned as text; what is shown while a run goes on is
//! `terminal`'s, and printing is the binary's.

mod default_secrets;
mod diff;
mod edits;
mod ended;
mod exec;
mod fit;
mod json;
mod ks;
mod logs;
mod outcome;
mod plan;
mod runs;
mod status;
mod summary;
mod table;

pub use default_secrets::{default_secrets_note, default_secrets_text};
pub use diff::diff_text;
pub use edits::edits_text;
pub use ended::{EndedStep, ended_run_text, ended_step_json};
pub use exec::{ExecEnd, ExecResult, exec_text};
pub use fit::{Look, wrap};
pub use json::JsonLines;
pub use ks::{answers, check_pg, check_pg_json, gates, ks_info, ks_plan};
pub use logs::{LogLines, log_json, name_of};
pub use outcome::Outcome;
pub use plan::{changed_since, changes, changes_text, plan_text, reason_words};
pub use runs::{RunRow, ran_words, run_word, runs_text};
pub use status::{Health, LastStep, ReceiptSummary, StatusRow, status_text};
pub use summary::{SummaryContext, summary_text};
pub use table::printable;
