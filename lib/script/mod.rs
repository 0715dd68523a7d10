//! Shell as text: how a value becomes one word, which values a script is made of, and which of
//! them are secret. It renders; it never runs anything.

mod quote;
mod site_template;
mod upload;
mod values;

pub use quote::{ShellEscaper, shell_word};
pub use site_template::render_site_template;
pub use upload::Upload;
pub use values::{Input, Values};
