//! How many connections are begun at once through one jump host, or to one address: an sshd closes
//! what comes beyond its `MaxStartups` (10 unless set) while others haven't logged in yet.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::transport::TransportError;

/// How many are let in at once to begin with: below every usual `MaxStartups`, and enough that a
/// thousand hosts don't queue for long, since a login takes a fraction of a second.
const AT_ONCE: usize = 4;

/// All gates of a transport, by what they stand before.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

/// One gate.
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    inside: usize,
    limit: usize,
    /// How often nobody could be let in, and why the last time.
    shut: (usize, Option<TransportError>),
}

/// A place inside; given back when it's dropped.
pub(super) struct Ticket(Arc<Gate>);

impl Gates {
    /// Returns the gate before something.
    pub(super) fn before(&self, what: &str) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(what.to_owned()).or_default().clone()
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            state: Mutex::new(State {
                inside: 0,
                limit: AT_ONCE,
                shut: (0, None),
            }),
            changed: Condvar::new(),
        }
    }
}

impl Gate {
    /// Waits for a place. Those inside are bounded by their own timeouts, so this is too.
    ///
    /// # Errors
    /// Why nobody gets through, where that was found out during the wait.
    pub(super) fn enter(self: &Arc<Gate>) -> Result<Ticket, TransportError> {
        let mut state = self.state();
        let (times, _) = state.shut;
        while state.inside >= state.limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            if let (now, Some(why)) = &state.shut
                && *now > times
            {
                return Err(why.clone());
            }
        }
        state.inside += 1;
        Ok(Ticket(self.clone()))
    }

    /// Lets one fewer in at once from now on, at least one: a connection was cut at the door.
    pub(super) fn narrow(&self) {
        let mut state = self.state();
        state.limit = state.limit.saturating_sub(1).max(1);
    }

    /// Tells those who wait that there is no way through; whoever comes later tries anew.
    pub(super) fn shut(&self, why: &TransportError) {
        let mut state = self.state();
        state.shut = (state.shut.0 + 1, Some(why.clone()));
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::transport::TransportErrorKind;

    fn full() -> (Arc<Gate>, Vec<Ticket>) {
        let gate = Gates::default().before("gate");
        let tickets = (0..AT_ONCE).map(|_| gate.enter().unwrap()).collect();
        (gate, tickets)
    }

    #[test]
    fn one_too_many_waits_until_a_place_is_free() {
        let (gate, mut tickets) = full();
        let (tell, told) = mpsc::channel();
        let waiting = gate.clone();
        let thread = thread::spawn(move || {
            let ticket = waiting.enter();
            tell.send(()).unwrap();
            drop(ticket);
        });
        assert!(told.try_recv().is_err());
        tickets.pop();
        told.recv().unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn a_narrow_gate_lets_one_in_at_least() {
        let gate = Arc::new(Gate::default());
        (0..2 * AT_ONCE).for_each(|_| gate.narrow());
        assert_eq!(gate.state().limit, 1);
        drop(gate.enter().unwrap());
        assert_eq!(gate.state().inside, 0);
    }

    #[test]
    fn those_who_wait_are_told_that_there_is_no_way_and_later_ones_try_anew() {
        let (gate, tickets) = full();
        let waiting = gate.clone();
        let thread = thread::spawn(move || waiting.enter().map(drop));
        let why = TransportError::new(TransportErrorKind::NoRoute, "off");
        // Whether the thread waits already can't be seen; so it's told until it heard.
        while !thread.is_finished() {
            gate.shut(&why);
            thread::yield_now();
        }
        assert_eq!(thread.join().unwrap().unwrap_err().message, "off");
        drop(tickets);
        assert!(gate.enter().is_ok());
    }
}
