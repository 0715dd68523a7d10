//! Shell as text: how a value becomes one word, which values a script is made of, and which of
//! them are secret. It renders; it never runs anything.

mod upload;
mod values;

pub use upload::Upload;
pub use values::{Input, Values};
