//! Short English words for results and durations, so that every consumer says them alike.

use super::Note;
use crate::event::StepResult;

/// Says how a step ended: `succeeded`, `failed with exit status 1`, ….
pub fn result_words(result: &StepResult) -> String {
    match result {
        StepResult::Succeeded => "succeeded".to_owned(),
        StepResult::Failed { status } => format!("failed with exit status {status}"),
        StepResult::Unknown { why } => format!("ended, but it isn't known how: {}", why.trim_end()),
        StepResult::Locked { holder } => {
            format!("didn't start, the host is locked: {}", holder.trim_end())
        }
        StepResult::Cancelled { by } => format!("was cancelled by {}", by.trim_end()),
        StepResult::Stopped { why } => format!("was ended: {}", why.trim_end()),
    }
}

/// Says what is special about a running step: `silent for 5m 00s`, ….
pub fn note_words(note: &Note) -> String {
    match note {
        Note::Joined(run) => format!("runs already, started by run {run}; joined"),
        Note::Waiting(holder) => format!("waits for the host: {}", holder.trim_end()),
        Note::TookOver(holder) => {
            format!("takes the host over and ends: {}", holder.trim_end())
        }
        Note::FoundDone(holder) => {
            format!(
                "is done already, since the plan looked: {}",
                holder.trim_end()
            )
        }
        Note::Held(why) => format!("held back, {why}"),
        Note::Silent(seconds) => format!(
            "has printed nothing for {}; it still runs",
            duration_words(seconds * 1000)
        ),
    }
}

/// Says that a part of a step's output is missing.
pub fn dropped_words(bytes: u64) -> String {
    format!("[{bytes} bytes of output are missing here: more than its host keeps]")
}

/// Says what a wish for the run's end does, by how often it came.
pub fn cancel_words(times: u32, by: &str) -> String {
    let what = match times {
        1 => "running steps may end, no more are started; once more ends them",
        2 => "running steps are ended; once more leaves them alone",
        _ => "leaving now; what runs goes on on its hosts",
    };
    format!("{by}: {what}")
}

/// Says a duration given in milliseconds: `3.2s`, `1m 02s`, `2h 05m`.
pub fn duration_words(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_grow_coarser() {
        let said: Vec<_> = [0, 999, 3_250, 59_999, 60_000, 3_599_999, 7_500_000]
            .map(duration_words)
            .into();
        assert_eq!(
            said,
            [
                "0.0s", "0.9s", "3.2s", "59.9s", "1m 00s", "59m 59s", "2h 05m"
            ]
        );
    }
}
