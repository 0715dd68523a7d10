//! Any bytes as a host's answer: never a panic, and never a success that the host didn't say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paas_cluster_build::transport::{StepEnd, read_reply};

fuzz_target!(|bytes: &[u8]| {
    let (output, end) = read_reply(bytes);
    assert!(output.len() <= bytes.len());
    if let Ok(StepEnd::Exited(status)) = end {
        let trailer = format!("pcb1 end {status}");
        let said = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        // A status may be written with a sign or zeros before it.
        assert!(said(trailer.as_bytes()) || said(b"pcb1 end +") || said(b"pcb1 end 0") || said(b"pcb1 end -0"));
    }
});
