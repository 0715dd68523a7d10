//! What is wrong with a site's jobs, each with its file.

use std::fmt;
use std::path::PathBuf;

use crate::cluster_file::{Problem, render_problems};

/// What is wrong with a job's folder, or with a file in it.
#[derive(Debug, Clone)]
pub struct SiteJobError {
    /// The file or folder.
    pub path: PathBuf,
    wrong: Wrong,
}

#[derive(Debug, Clone)]
enum Wrong {
    /// The whole of it, said in a sentence.
    Whole(String),
    /// Places in its text.
    Places {
        text: String,
        problems: Vec<Problem>,
    },
}

impl SiteJobError {
    /// Makes an error of a file or folder as a whole.
    pub(in crate::job) fn new(path: PathBuf, message: impl Into<String>) -> SiteJobError {
        SiteJobError {
            path,
            wrong: Wrong::Whole(message.into()),
        }
    }

    /// Makes an error of places in a file's text; there is at least one.
    pub(super) fn at(path: PathBuf, text: &str, problems: Vec<Problem>) -> SiteJobError {
        SiteJobError {
            path,
            wrong: Wrong::Places {
                text: text.to_owned(),
                problems,
            },
        }
    }

    /// Draws it as the cluster file's problems are drawn: with file, line, column and caret, as far
    /// as it has them. `colour` adds terminal escapes. It ends without a newline.
    pub fn draw(&self, colour: bool) -> String {
        match &self.wrong {
            Wrong::Whole(message) => format!("error: {}: {message}", self.path.display()),
            Wrong::Places { text, problems } => render_problems(&self.path, text, problems, colour),
        }
    }
}

impl fmt::Display for SiteJobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(false))
    }
}

impl std::error::Error for SiteJobError {}
