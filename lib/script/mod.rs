//! Shell as text: how a value becomes one word, which values a script is made of, and which of
//! them are secret. It renders; it never runs anything.

mod lint;
mod quote;
mod site_template;
mod template;
mod trial;
mod upload;
mod values;

pub use lint::{Names, check_template};
pub use quote::{ShellEscaper, shell_word};
pub use site_template::{check_site_template, render_site_template};
pub use trial::{Trial, trials};
pub use upload::Upload;
pub use values::{Input, Values};
