//! Templates that a site keeps on disk: minijinja with the same quoting as the built-in ones.

use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::{Values, shell_word};
use crate::cluster_file::{Place, Problem};

/// Renders a template with these values; `name` is shown in errors.
///
/// # Errors
/// A mistake in the template, with its line, or a value that it names and that isn't there.
pub fn render_site_template(name: &str, template: &str, values: &Values) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, _, value| {
        let word = match value.kind() {
            ValueKind::String => shell_word(value.as_str().unwrap_or_default()),
            ValueKind::Number => value.to_string(),
            // As the built-in templates and YAML write it; minijinja itself would say True.
            ValueKind::Bool => value.is_true().to_string(),
            kind => {
                let message = format!("a {kind} can't stand in a script; go through it with for");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        };
        out.write_str(&word).map_err(Error::from)
    });
    // `|safe` would let a value become code.
    environment.remove_filter("safe");
    environment
        .render_named_str(name, template, Serde(values.to_json()))
        .map_err(|error| match error.line() {
            Some(line) => format!("{name}:{line}: {}", describe(&error)),
            None => format!("{name}: {}", describe(&error)),
        })
}

/// Looks whether the engine takes a template, before there are values for it.
///
/// # Errors
/// What the engine says, at its line.
pub fn check_site_template(template: &str) -> Result<(), Problem> {
    let environment = Environment::new();
    match environment.template_from_str(template) {
        Ok(_) => Ok(()),
        Err(error) => {
            let line = error.line().and_then(|line| u32::try_from(line).ok());
            let place = Place::new(line.unwrap_or(1), 1);
            Err(Problem::new(place, usize::MAX, describe(&error)))
        }
    }
}

fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_and_true_is_true() {
        let mut values = Values::new();
        values.set("flag", true);
        values.set("number", 8000);
        values.set("text", "a b");
        let rendered = render_site_template("x.sh", "{{ flag }} {{ number }} {{ text }}", &values);
        assert_eq!(rendered.unwrap(), "true 8000 'a b'");
    }
}
