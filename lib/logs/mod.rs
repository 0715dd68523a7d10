//! What services log on their hosts: the files and units that jobs declare are read where they lie,
//! line by line, and put in order of time.
//!
//! A [`Source`] is what one connection to one host reads: log files, or the journal. A [`Reader`]
//! looks back and then follows, over as many connections as that takes; what it hears is [`News`].
//! [`Entries`] makes entries of the lines, and [`Window`] puts those of all hosts in order.

mod declared;
mod entries;
mod journal;
mod line;
mod news;
mod position;
mod reader;
mod script;
mod split;
mod stamp;
mod window;
mod wire;

pub use declared::{Declared, Kind, LogPlace, Source, Stream};
pub use entries::{Entries, Entry, Wanted};
pub use line::Line;
pub use news::{Ended, News};
pub use reader::{Handles, LookBack, Reader};
pub use script::{FileLook, JournalLook, Place, file_script, journal_script};
pub use window::Window;
