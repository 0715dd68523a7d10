//! Where in the cluster file a value stands.

use serde::{Deserialize, Serialize};

/// A position in the cluster file, both counted from 1 as editors do (columns in characters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// Makes a place from a line and a column, both from 1.
    pub fn new(line: u32, column: u32) -> Self {
        Place { line, column }
    }
}
