//! What a host knows of runs, as `deploy/runs.sh` told it: it is the memory that remains when the
//! workstation is gone.

use super::holder::Holder;

/// One step of a run, as its host knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRun {
    /// The run's id.
    pub run: String,
    /// The step's name.
    pub step: String,
    /// How far it is.
    pub state: HostRunState,
    /// When its end was written down, by its host's clock.
    pub ended: Option<jiff::Timestamp>,
    /// Whether a controller follows it, or did until a moment ago.
    pub followed: bool,
    /// Who started it.
    pub holder: Holder,
}

/// How far a step is, as its host knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRunState {
    /// It runs.
    Running,
    /// It ended with this status.
    Ended(i32),
    /// It was ended: cancelled, or past its deadline.
    Stopped,
    /// Nobody wrote down how it ended.
    Unknown,
}

/// Reads what `deploy/runs.sh` printed; a damaged line is passed over.
pub fn parse_host_runs(output: &str) -> Vec<HostRun> {
    output.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<HostRun> {
    let mut words = line.strip_prefix("step ")?.splitn(5, ' ');
    let (run, step) = (words.next()?.to_owned(), words.next()?.to_owned());
    // `0@1764000000`: how it ended, and when.
    let state = words.next()?;
    let (state, ended) = match state.split_once('@') {
        Some((state, ended)) => (state, ended.parse().ok()),
        None => (state, None),
    };
    let ended = ended.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let state = match state {
        "running" => HostRunState::Running,
        "stopped" => HostRunState::Stopped,
        "unknown" => HostRunState::Unknown,
        status => HostRunState::Ended(status.parse().ok()?),
    };
    let followed = words.next()? == "yes";
    let holder = Holder::parse(words.next()?).unwrap_or_default();
    Some(HostRun {
        run,
        step,
        state,
        ended,
        followed,
        holder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_host_prints_and_passes_over_the_rest() {
        let read = parse_host_runs(
            "step r1 nats running yes {\"operator\":\"ada\",\"run\":\"r1\"}\nstep r1 uaa 7@90 no {}\n\
             step r2 uaa stopped no not json\nstep r3\nstep r4 uaa seven no {}\n",
        );
        let told: Vec<_> = read
            .iter()
            .map(|one| (one.run.as_str(), one.state, one.followed))
            .collect();
        assert_eq!(
            told,
            [
                ("r1", HostRunState::Running, true),
                ("r1", HostRunState::Ended(7), false),
                ("r2", HostRunState::Stopped, false)
            ]
        );
        assert_eq!(read[0].ended, None);
        assert_eq!(read[1].ended.unwrap().as_second(), 90);
        assert_eq!(read[0].holder.operator, "ada");
        assert_eq!(read[2].holder, Holder::default());
    }
}
