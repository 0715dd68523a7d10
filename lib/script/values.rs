//! The values that a step's script is rendered from, with the place each came from.

use serde::Serialize;
use serde_json::Value;

use crate::cluster_file::Place;

/// One value of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The value: text, number, bool, or a list or mapping of these.
    pub value: Value,
    /// Where in the cluster file it comes from, if from there.
    pub place: Option<Place>,
    /// Whether it must never be shown.
    pub secret: bool,
}

/// The values of one script, in the order in which the job named them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    inputs: Vec<(String, Input)>,
}

impl Values {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that doesn't come from the file, or replaces the one of that name.
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        self.put(name, value, None, false);
    }

    /// Adds a value that comes from a place in the file.
    pub fn set_from(&mut self, name: &str, value: impl Serialize, place: Place) {
        self.put(name, value, Some(place), false);
    }

    /// Adds a value that must never be shown.
    pub fn set_secret(&mut self, name: &str, value: &str) {
        self.put(name, value, None, true);
    }

    fn put(&mut self, name: &str, value: impl Serialize, place: Option<Place>, secret: bool) {
        let value = serde_json::to_value(value).expect("a template value is plain data");
        let input = Input {
            value,
            place,
            secret,
        };
        match self.inputs.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = input,
            None => self.inputs.push((name.to_owned(), input)),
        }
    }

    /// Names the first value that holds a NUL, which no shell word can.
    pub fn with_nul(&self) -> Option<(&str, &Input)> {
        self.iter().find(|(_, input)| holds_nul(&input.value))
    }

    /// Finds a value by its name.
    pub fn get(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|(n, _)| n == name).map(|(_, i)| i)
    }

    /// Goes through all values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Input)> {
        self.inputs.iter().map(|(n, i)| (n.as_str(), i))
    }

    /// Returns the mapping with `<name>` in place of each secret, for people.
    pub fn to_shown(&self) -> Value {
        let shown = |name: &str, input: &Input| match input.secret {
            true => Value::String(format!("<{name}>")),
            false => input.value.clone(),
        };
        Value::Object(
            self.inputs
                .iter()
                .map(|(n, i)| (n.clone(), shown(n, i)))
                .collect(),
        )
    }

    /// Returns the plain mapping that both template engines render from, secrets included.
    pub fn to_json(&self) -> Value {
        let pairs = self
            .inputs
            .iter()
            .map(|(n, i)| (n.clone(), i.value.clone()));
        Value::Object(pairs.collect())
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        // A template can go through the names too.
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
