//! Any text as what a host tells of itself: receipts, facts and runs are read or passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paas_cluster_build::plan::{Holder, HostFacts, Receipt, parse_host_runs};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Some(receipt) = Receipt::parse(&text) {
        let written = serde_json::to_string(&receipt).expect("a receipt is plain data");
        assert_eq!(Receipt::parse(&written), Some(receipt));
    }
    let facts = HostFacts::parse(&text, jiff::Timestamp::UNIX_EPOCH);
    assert!(facts.receipts.len() + facts.health.len() <= text.lines().count());
    assert!(parse_host_runs(&text).len() <= text.lines().count());
    if let Some(holder) = Holder::parse(&text) {
        assert_eq!(Holder::parse(&holder.line()), Some(holder));
    }
});
