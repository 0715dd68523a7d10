//! Writes a run's journal and step logs, event by event.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::folder::{FolderError, RunFolder, failed, make_private_file, prune};
use super::limit::write_error_words;
use super::step_log::StepLog;
use crate::event::{Event, Fact};
use crate::plan::StepId;
use crate::run_state::dropped_words;

/// How many runs of a cluster are kept on this machine.
const KEPT_RUNS: usize = 200;

/// How many of what is no run of a plan are kept beside them.
const KEPT_ASIDE: usize = 100;

/// The journal of a run that is being written.
///
/// Every event is handed to the system before [`Journal::event`] returns, so a killed controller
/// loses none; a machine that loses power may lose the last ones and leave a torn line.
///
/// When something can't be written (mostly: the disk is full), that is reported once, nothing
/// more is written, and the run goes on. Stopping a deploy half-way does more harm than a missing
/// record, and what matters is in the receipts on the hosts. Nothing is retried later: a journal
/// with a hole would replay wrongly, one that ends early is plainly unfinished.
#[derive(Debug)]
pub struct Journal {
    folder: RunFolder,
    file: File,
    logs: HashMap<StepId, StepLog>,
    broken: bool,
}

/// Why recording a run ended early.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal ends here, the run goes on without it: can't write {}: {}",
    .path.display(),
    write_error_words(source)
)]
pub struct JournalError {
    /// The file that couldn't be written.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Journal {
    /// Makes a run's folder and journal below the state folder, and points `latest` at it.
    ///
    /// # Errors
    /// Names that can't be folders, a run that already has a journal, a disk that refuses.
    pub fn create(state: &Path, cluster: &str, run: &str) -> Result<Journal, FolderError> {
        let folder = RunFolder::of(state, cluster, run)?;
        folder.create()?;
        Journal::begin(folder, KEPT_RUNS)
    }

    /// Makes the same for a run that another controller has, and that is only looked at.
    ///
    /// # Errors
    /// As for a run of one's own.
    pub fn watch(state: &Path, cluster: &str, run: &str) -> Result<Journal, FolderError> {
        let folder = RunFolder::of(state, cluster, run)?;
        // Marked before there is a journal: at no moment it looks like a run that this machine had.
        folder.create_watched()?;
        Journal::begin(folder, KEPT_RUNS)
    }

    /// Makes the journal of what is no run of a plan, such as `exec` and `lab`: it's listed among
    /// the runs, and has room of its own beside them.
    ///
    /// # Errors
    /// As for [`Journal::create`].
    pub fn create_aside(state: &Path, cluster: &str, run: &str) -> Result<Journal, FolderError> {
        let folder = RunFolder::of(state, cluster, run)?;
        folder.create_beside()?;
        folder.put_aside()?;
        Journal::begin(folder, KEPT_ASIDE)
    }

    fn begin(folder: RunFolder, keep: usize) -> Result<Journal, FolderError> {
        let path = folder.journal();
        let file = make_private_file(&path).map_err(|e| failed(&path, e))?;
        // Held for as long as this process lives, so that others can tell a live run from one whose
        // controller is dead. A file system without locks makes every run look dead, no more.
        let _ = file.try_lock();
        prune(&folder, keep);
        Ok(Journal {
            folder,
            file,
            logs: HashMap::new(),
            broken: false,
        })
    }

    /// Returns the run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Records an event.
    ///
    /// # Errors
    /// The first write that fails; from then on nothing is written and all is well.
    pub fn event(&mut self, event: &Event) -> Result<(), JournalError> {
        if self.broken {
            return Ok(());
        }
        self.record(event).inspect_err(|_| {
            self.broken = true;
            self.logs.clear();
        })
    }

    fn record(&mut self, event: &Event) -> Result<(), JournalError> {
        match &event.fact {
            Fact::StepStarted { id } => {
                let path = self.folder.step_log(id);
                let log = StepLog::create(&path).map_err(|e| broken(path, e))?;
                self.logs.insert(id.clone(), log);
            }
            Fact::StepOutput { id, text } => {
                if let Some(log) = self.logs.get_mut(id) {
                    let kept = log
                        .append(text)
                        .map_err(|e| broken(self.folder.step_log(id), e))?;
                    return self.append_output(event, id, text, kept);
                }
            }
            Fact::OutputDropped { id, bytes } => {
                if let Some(log) = self.logs.get_mut(id) {
                    log.append(&format!("{}\n", dropped_words(*bytes)))
                        .map_err(|e| broken(self.folder.step_log(id), e))?;
                }
            }
            Fact::StepFinished { id, .. } => {
                self.logs.remove(id);
            }
            _ => {}
        }
        self.append(event)
    }

    /// The journal keeps as much of a step's output as its log does.
    fn append_output(
        &mut self,
        event: &Event,
        id: &StepId,
        text: &str,
        kept: String,
    ) -> Result<(), JournalError> {
        if kept == text {
            self.append(event)
        } else if kept.is_empty() {
            Ok(())
        } else {
            let mut shorter = event.clone();
            let id = id.clone();
            shorter.fact = Fact::StepOutput { id, text: kept };
            self.append(&shorter)
        }
    }

    fn append(&mut self, event: &Event) -> Result<(), JournalError> {
        write_line(&mut self.file, event).map_err(|e| broken(self.folder.journal(), e))
    }
}

fn write_line(file: &mut File, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    // One write to an unbuffered file: nothing is left to flush.
    file.write_all(&line)?;
    match event.fact {
        Fact::RunFinished { .. } => file.sync_all(),
        _ => Ok(()),
    }
}

fn broken(path: PathBuf, source: io::Error) -> JournalError {
    JournalError { path, source }
}
