//! Reads `cluster.yml`, and a site's `job.yml`, strictly and keeps the line and column of every value.
//!
//! It knows which keys the file may have and of which shape, and nothing of what they mean:
//! that is `model`'s. Everything that is wrong is reported at once, as data.

mod address;
mod check;
mod file;
mod job_file;
mod keys;
mod lookalike;
mod nearest;
mod place;
mod problem;
mod read;
mod schema;
mod shape;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod without;

use std::path::Path;

pub use file::{
    At, ClusterFile, ConfigEntry, GlobalKsEntry, HostEntry, JumpEntry, PasswordEntry, ReleaseEntry,
    Rollout, RoomEntry, Server, SourceEntry, SshEntry, SudoEntry, Var,
};
pub use job_file::{CheckEntry, JobFile, ValueSource};
pub use nearest::{nearest, suggest};
pub use place::Place;
pub use problem::{Problem, render_problems, sort_problems};
pub use schema::schema;
pub use syntax::decode;

impl ClusterFile {
    /// Reads the text of a cluster file; `path` is only remembered, not opened.
    ///
    /// Problems come in the order of the file. With problems there may still be a `ClusterFile`:
    /// all of it that could be read, for the model to find what else is wrong. Only one that
    /// came without problems may be used for more than that.
    pub fn parse(path: &Path, text: &str) -> (Option<ClusterFile>, Vec<Problem>) {
        if let Some(problem) = syntax::check_text(text) {
            return (None, vec![problem]);
        }
        let unseen = lookalike::invisible_ones(text);
        if !unseen.is_empty() {
            // Whatever else is wrong may follow from them.
            return (None, unseen);
        }
        let root = match tree::parse(text) {
            Ok(root) => root,
            Err(error) => return (None, vec![syntax::from_yaml(text, &error)]),
        };
        let mut problems = check::check(&root, &keys::FILE);
        let lines: Vec<u32> = problems.iter().map(|problem| problem.place.line).collect();
        problems.extend(lookalike::on_lines(text, &lines));
        sort_problems(&mut problems);
        let is_mapping = matches!(root.value, tree::Value::Map(_));
        (is_mapping.then(|| read::read(path, &root)), problems)
    }
}
