//! How far a file is read, and whether a part of a file is what comes next.

use super::script::Place;
use super::wire::Piece;

/// How many of the bytes that were read last are kept: as many as the script sends before a piece.
const TAIL: usize = 256;

/// How far a file is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    inode: u64,
    offset: u64,
    /// The bytes that were read last, as far as they were seen.
    tail: Vec<u8>,
    /// Whether the file was written anew since.
    is_emptied: bool,
    /// The file that is to be read next, from its start on. Only when something of it has come is it
    /// the one that is read: until then, more of this one may turn up.
    next: Option<u64>,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit<'a> {
    /// These bytes come next.
    Next(&'a [u8]),
    /// It belongs to another file.
    Foreign,
    /// It isn't what comes next, though of the same file: what is between them got lost on its way, or
    /// the file was emptied at this moment.
    Missed,
    /// The file was overwritten: it has to be read from its start on.
    Overwritten,
}

impl Position {
    /// The place at which a file is read from.
    pub(super) fn at(inode: u64, offset: u64) -> Position {
        Position {
            inode,
            offset,
            ..Position::default()
        }
    }

    /// The place as the host is told it.
    pub(super) fn place(&self) -> Place {
        Place {
            inode: self.inode,
            offset: self.offset,
            is_emptied: self.is_emptied,
            before: match self.tail.len() as u64 == self.offset.min(TAIL as u64) {
                true => self.tail.clone(),
                false => Vec::new(),
            },
        }
    }

    /// Another file is to be read next, or the same anew.
    pub(super) fn turn_to(&mut self, inode: u64) {
        self.next = Some(inode);
    }

    /// The file was overwritten: what is left of it may be in a copy, and it has to be read anew.
    pub(super) fn note_overwritten(&mut self) {
        self.is_emptied = true;
    }

    /// Moves to a byte that nothing was read before.
    pub(super) fn move_to(&mut self, offset: u64) {
        *self = Position::at(self.inode, offset);
    }

    /// Takes a piece, if it's what comes next.
    pub(super) fn take<'a>(&mut self, piece: &'a Piece) -> Fit<'a> {
        if self.next == Some(piece.inode) && piece.offset == 0 && !piece.is_copy {
            *self = Position::at(piece.inode, 0);
        }
        // Of what stands before it, nothing may be missing either.
        let is_whole = piece.before.len() as u64 == self.offset.min(TAIL as u64);
        let is_next = piece.inode == self.inode && piece.offset == self.offset && is_whole;
        let seen = self.tail.len().min(piece.before.len());
        let before = &piece.before[piece.before.len() - seen..];
        let is_same = before == &self.tail[self.tail.len() - seen..];
        match piece.is_copy {
            _ if is_next && is_same => {
                self.note(&piece.bytes);
                Fit::Next(&piece.bytes)
            }
            true => Fit::Foreign,
            false if is_next => Fit::Overwritten,
            false => Fit::Missed,
        }
    }

    /// Tells whether anything was read since the place was set.
    pub(super) fn has_read(&self) -> bool {
        !self.tail.is_empty()
    }

    fn note(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(inode: u64, offset: u64, before: &[u8], bytes: &[u8]) -> Piece {
        Piece {
            number: 0,
            inode,
            offset,
            before: before.to_vec(),
            bytes: bytes.to_vec(),
            is_copy: false,
        }
    }

    #[test]
    fn what_comes_next_is_known_by_what_stands_before_it() {
        let mut position = Position::at(7, 0);
        assert_eq!(
            position.take(&piece(7, 0, b"", b"abc\n")),
            Fit::Next(b"abc\n")
        );
        assert_eq!(position.take(&piece(7, 4, b"abc\n", b"d")), Fit::Next(b"d"));
        // Emptied and written anew, up to the same length and beyond.
        let overwritten = piece(7, 5, b"xbc\nd", b"e");
        assert_eq!(position.clone().take(&overwritten), Fit::Overwritten);
        let of_a_copy = Piece {
            is_copy: true,
            ..overwritten
        };
        assert_eq!(position.take(&of_a_copy), Fit::Foreign);
        for other in [
            piece(8, 5, b"abc\nd", b"e"),
            piece(7, 4, b"abc\n", b"d"),
            piece(7, 5, b"", b"e"),
        ] {
            assert_eq!(position.clone().take(&other), Fit::Missed);
        }
        let long = vec![b'x'; 300];
        assert_eq!(
            position.take(&piece(7, 5, b"abc\nd", &long)),
            Fit::Next(&long)
        );
        assert_eq!(position.tail.len(), TAIL);
        assert_eq!(position.offset, 305);
    }

    fn place(inode: u64, offset: u64, is_emptied: bool, before: &[u8]) -> Place {
        Place {
            inode,
            offset,
            is_emptied,
            before: before.to_vec(),
        }
    }

    #[test]
    fn another_file_counts_when_something_of_it_has_come() {
        let mut position = Position::at(7, 0);
        position.take(&piece(7, 0, b"", b"abc\n"));
        position.turn_to(8);
        assert_eq!(position.place(), place(7, 4, false, b"abc\n"));
        assert_eq!(position.take(&piece(8, 0, b"", b"d")), Fit::Next(b"d"));
        position.note_overwritten();
        assert_eq!(position.place(), place(8, 1, true, b"d"));
        // Of a copy, what stands before it counts; of the file itself, it begins anew.
        position.turn_to(8);
        let of_a_copy = Piece {
            is_copy: true,
            ..piece(8, 1, b"d", b"e")
        };
        assert_eq!(position.take(&of_a_copy), Fit::Next(b"e"));
        assert_eq!(position.take(&piece(8, 0, b"", b"f")), Fit::Next(b"f"));
        assert_eq!(position.place(), place(8, 1, false, b"f"));
    }

    #[test]
    fn what_was_never_seen_is_no_difference() {
        let mut position = Position::at(7, 100);
        assert_eq!(
            position.take(&piece(7, 100, &[b'y'; 100], b"z")),
            Fit::Next(b"z")
        );
    }
}
