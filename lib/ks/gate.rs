//! The questions that are answered, read-only, before anything is changed.

use serde::Serialize;

/// What an answer means for the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Fine.
    Go,
    /// To be known, but no reason to stop.
    Warning,
    /// The operation is refused.
    NoGo,
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// What was asked.
    pub question: String,
    /// What it means.
    pub verdict: Verdict,
    /// What was found, and what to do where it's in the way.
    pub finding: String,
}

impl Gate {
    /// A gate that is open.
    pub fn go(question: &str, finding: impl Into<String>) -> Gate {
        Gate::new(question, Verdict::Go, finding)
    }

    /// A gate that is open, with something to be known.
    pub fn warn(question: &str, finding: impl Into<String>) -> Gate {
        Gate::new(question, Verdict::Warning, finding)
    }

    /// A gate that is closed.
    pub fn no(question: &str, finding: impl Into<String>) -> Gate {
        Gate::new(question, Verdict::NoGo, finding)
    }

    fn new(question: &str, verdict: Verdict, finding: impl Into<String>) -> Gate {
        Gate {
            question: question.to_owned(),
            verdict,
            finding: finding.into(),
        }
    }
}
