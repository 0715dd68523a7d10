//! Any bytes as a journal: whole lines are events or an error, a torn one is told, and replaying
//! never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paas_cluster_build::journal::read_journal;
use paas_cluster_build::run_state::RunState;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("it can be written");
    let Ok((events, torn)) = read_journal(file.path()) else {
        return;
    };
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(events.len() <= ends, "an event without its line end");
    assert_eq!(torn.is_some(), !bytes.is_empty() && !bytes.ends_with(b"\n"));
    let mut state = RunState::new();
    for event in &events {
        let before = state.clone();
        if state.apply(event).is_err() {
            assert_eq!(before, state, "a refused event left a trace");
        }
        let line = serde_json::to_string(event).expect("an event is plain data");
        let again = serde_json::from_str(&line).expect("what was written is read");
        assert_eq!(*event, again);
    }
});
