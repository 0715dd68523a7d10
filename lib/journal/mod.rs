//! Keeps what happened in a run: its events as JSON lines and each step's output as a text file.
//!
//! The journal is the operator's record. It isn't the state of the cluster: that is on the hosts,
//! so a run goes on when its journal can't be written.

mod folder;
mod limit;
mod reader;
mod step_log;
mod writer;

pub use folder::{FolderError, RunFolder, state_dir};
pub use limit::write_error_words;
pub use reader::{ReadError, TornLine, read_journal};
pub use step_log::STEP_LOG_BYTES;
pub use writer::{Journal, JournalError};
