//! The operator's wish to end a run, as it gets stronger.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

/// A level that only rises: 0 go on; 1 start nothing new; 2 end what runs; 3 leave now, what runs
/// goes on on its hosts.
#[derive(Debug, Clone)]
pub struct Cancel {
    level: Arc<watch::Sender<u32>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Cancel {
            level: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Cancel {
    /// Raises the level by one and returns it.
    pub fn raise(&self) -> u32 {
        self.level.send_modify(|level| *level += 1);
        self.level()
    }

    /// Returns the level now.
    pub fn level(&self) -> u32 {
        *self.level.borrow()
    }

    /// Waits from blocking code until the level is at least this or the time is over; tells which.
    /// Inside a runtime's blocking pool only.
    pub(super) fn reached_within(&self, level: u32, time: Duration) -> bool {
        Handle::current()
            .block_on(tokio::time::timeout(time, self.reached(level)))
            .is_ok()
    }

    /// Waits until the level is at least this.
    pub async fn reached(&self, level: u32) {
        let mut receiver = self.level.subscribe();
        // The sender lives in `self`, so the wait can't end early.
        let _ = receiver.wait_for(|now| *now >= level).await;
    }
}
