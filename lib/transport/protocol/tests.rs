//! The frames against a host that has said everything already.

use std::process::Command;

use super::*;
use proptest::prelude::*;

/// A host that has said everything already and takes whatever is sent.
struct Said(io::Cursor<Vec<u8>>, usize);

impl Read for Said {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = buffer.len().min(self.1);
        self.0.read(&mut buffer[..piece])
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for Said {
    fn close_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn expect_signs(&mut self, _: Duration) {}

    fn expect_by(&mut self, _: Option<Instant>) {}
}

/// Who has said everything already needs none.
const PATIENCE: Duration = Duration::from_secs(1);

/// A byte at a time, which is the worst way to be cut.
fn exchange(said: &[u8]) -> Exchange<Said> {
    exchange_in_pieces(said, 1)
}

fn exchange_in_pieces(said: &[u8], piece: usize) -> Exchange<Said> {
    Exchange::open(
        BufReader::new(Said(io::Cursor::new(said.to_vec()), piece)),
        Vec::new(),
        "run",
        &[],
    )
    .unwrap()
}

fn followed(said: &[u8]) -> (Vec<u8>, Result<StepEnd, TransportError>) {
    let mut output = Vec::new();
    let end = exchange(said).follow(&mut |news| {
        if let StepNews::Output(bytes) = news {
            output.extend_from_slice(bytes);
        }
    });
    (output, end)
}

#[test]
fn frames_are_data_whatever_they_hold() {
    let (output, end) = followed(b"motd\npcb1 data 11\npcb1 end 0\npcb1 data 1\n\0pcb1 end 3\n");
    assert_eq!(output, b"pcb1 end 0\n\0");
    assert_eq!(end.unwrap(), StepEnd::Exited(3));
}

#[test]
fn a_greeting_before_a_cut_is_no_answer_of_the_host() {
    let error = followed(b"Welcome!\npcb1 data 1\nx").1.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Lost);
    let error = followed(b"This account is currently not available.\n")
        .1
        .unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Host);
    assert!(error.message.contains("not available"), "{error}");
}

#[test]
fn what_is_left_out_of_the_scripts_changes_nothing() {
    // bash prints a function as it understood it, without comments; nothing is run.
    let understood = |text: &str| {
        let script = format!("all() {{\n{text}\n}}\ndeclare -f all");
        let printed = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(
            printed.status.success(),
            "{}",
            String::from_utf8_lossy(&printed.stderr)
        );
        String::from_utf8(printed.stdout).unwrap()
    };
    for text in [request::SUPERVISOR, request::WRAPPER, request::BLOT] {
        let sent = request::without_comments(text);
        assert!(sent.len() < text.len());
        assert_eq!(understood(&sent), understood(text));
    }
}

#[test]
fn a_request_stays_small() {
    // Some packets for each step; a step on fifty hosts is well below a megabyte.
    assert!(
        supervisor_text().len() < 14 * 1024,
        "{}",
        supervisor_text().len()
    );
}

#[test]
fn an_end_that_never_came_is_no_success() {
    for said in [&b""[..], b"pcb1 data 5\nab", b"pcb1 data 2\nab", b"pcb1 en"] {
        assert!(followed(said).1.is_err(), "{said:?}");
    }
}

#[test]
fn a_refusing_sudo_is_told_from_a_lost_connection() {
    let error = followed(b"sudo: a password is required\n").1.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Sudo);
    assert!(error.message.contains("a password is required"), "{error}");
    assert_eq!(followed(b"").1.unwrap_err().kind, TransportErrorKind::Lost);
}

#[test]
fn a_query_ends_with_its_own_nonce_only() {
    let output = exchange(b"pcb1 output\npcb1 other 0\n\npcb1 n0nce 4\n")
        .query("n0nce", PATIENCE, None)
        .unwrap();
    assert_eq!(
        output,
        QueryOutput {
            output: b"pcb1 other 0\n".to_vec(),
            status: 4
        }
    );
    assert!(
        exchange(b"pcb1 output\nabc")
            .query("n0nce", PATIENCE, None)
            .is_err()
    );
}

#[test]
fn names_that_would_leave_their_folder_are_refused() {
    for bad in ["", "..", ".x", "a/b", "a b", "-x", "a\n"] {
        assert!(request::check_name(bad).is_err(), "{bad:?}");
    }
    assert!(request::check_name("data.postgres").is_ok());
}

proptest! {
    #[test]
    fn frames_come_whole_however_they_are_cut(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 0..8),
        piece in 1usize..200,
    ) {
        let mut said = b"a greeting\n\n".to_vec();
        for frame in &frames {
            said.extend_from_slice(format!("pcb1 data {}\n", frame.len()).as_bytes());
            said.extend_from_slice(frame);
            said.extend_from_slice(b"pcb1 alive\n");
        }
        said.extend_from_slice(b"pcb1 end 7\n");
        let mut output = Vec::new();
        let exchange = exchange_in_pieces(&said, piece);
        let end = exchange.follow(&mut |news| {
            if let StepNews::Output(bytes) = news {
                output.extend_from_slice(bytes);
            }
        });
        prop_assert_eq!(end.unwrap(), StepEnd::Exited(7));
        prop_assert_eq!(output, frames.concat());
    }

    #[test]
    fn garbage_never_panics(said in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = followed(&said);
        let _ = exchange(&said).query("n", PATIENCE, None);
    }
}
