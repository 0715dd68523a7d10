//! Where the engine's events go: a bounded channel, so that a flood of output waits for its reader
//! instead of filling the memory, and no event is ever dropped.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::event::{Event, Fact};

/// How many events may wait for their reader.
const CAPACITY: usize = 1024;

/// The reading end.
pub type EventReceiver = mpsc::Receiver<Event>;

/// Stamps facts with time and run, and sends them on.
#[derive(Debug, Clone)]
pub struct EventSink {
    sender: Option<mpsc::Sender<Event>>,
    run: String,
    start: Instant,
}

/// Makes a channel for the events of one run.
pub fn event_channel(run: &str) -> (EventSink, EventReceiver) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (
        EventSink {
            sender: Some(sender),
            run: run.to_owned(),
            start: Instant::now(),
        },
        receiver,
    )
}

impl EventSink {
    /// Makes a sink for a run that nobody watches.
    pub fn unwatched() -> EventSink {
        EventSink {
            sender: None,
            run: String::new(),
            start: Instant::now(),
        }
    }

    /// Sends a fact from asynchronous code; a reader that is gone is no error.
    pub async fn send(&self, fact: Fact) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(self.stamp(fact)).await;
        }
    }

    /// Sends a fact from blocking code.
    pub fn send_blocking(&self, fact: Fact) {
        if let Some(sender) = &self.sender {
            let _ = sender.blocking_send(self.stamp(fact));
        }
    }

    fn stamp(&self, fact: Fact) -> Event {
        Event {
            time: jiff::Timestamp::now(),
            elapsed_ms: self.start.elapsed().as_millis() as u64,
            run: self.run.clone(),
            fact,
        }
    }
}
