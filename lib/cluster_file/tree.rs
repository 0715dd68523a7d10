//! YAML as a tree in which every key and value knows its place, and no key is lost.
//!
//! serde-saphyr parses; a derived struct would stop at the first mistake and has no room for
//! a duplicate key, so this tree keeps all pairs and `check` and `read` go through it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DuplicateKeyPolicy, Location, NonFiniteFloatPolicy, Options, Spanned};

use super::Place;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    /// Characters on its first line.
    pub len: usize,
    /// A scalar as it is written in the file, quotes included; empty for lists and mappings.
    pub raw: String,
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The scalar as text: a text's content, or a number as it is written in the file.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Number(_) => Some(&self.raw),
            _ => None,
        }
    }

    /// The pairs of a mapping; nothing for other values.
    pub fn pairs(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The items of a list; nothing for other values.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The value of the first pair with this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let pair = self.pairs().iter().find(|(k, _)| k.text() == Some(key));
        pair.map(|(_, value)| value)
    }
}

/// Parses one YAML document.
///
/// # Errors
/// What serde-saphyr says about a text that isn't YAML, or that is made to eat memory.
pub(super) fn parse(text: &str) -> Result<Node, Box<serde_saphyr::Error>> {
    let spanned: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options())?;
    Ok(place(text, spanned))
}

fn options() -> Options {
    serde_saphyr::options! {
        // Duplicates are reported by `check`, all of them and with both places.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
        emit_comments: false,
        // Generous for a cluster of thousands of hosts, small for a machine.
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 200_000,
            max_aliases: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 16,
        },
    }
}

/// A value as the deserializer hands it over.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Number::from_f64(value).map_or_else(|| Raw::Text(value.to_string()), Raw::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}

/// Turns spans into places and takes each scalar's spelling from the text.
fn place(text: &str, spanned: Spanned<Raw>) -> Node {
    // Behind an alias, the value is where it was written, not where it is used.
    let location = spanned.defined;
    let (raw, value) = match spanned.value {
        Raw::Null => (source(text, location), Value::Null),
        Raw::Bool(value) => (source(text, location), Value::Bool(value)),
        Raw::Number(value) => (source(text, location), Value::Number(value)),
        Raw::Text(value) => (source(text, location), Value::Text(value)),
        Raw::List(items) => {
            let items = items.into_iter().map(|item| place(text, item)).collect();
            (String::new(), Value::List(items))
        }
        Raw::Map(pairs) => {
            let pairs = pairs.into_iter();
            let pairs = pairs.map(|(k, v)| (place(text, k), place(text, v)));
            (String::new(), Value::Map(pairs.collect()))
        }
    };
    let first_line = raw.lines().next().unwrap_or_default();
    Node {
        place: place_of(location),
        len: first_line.trim_end().chars().count().max(1),
        raw,
        value,
    }
}

fn source(text: &str, location: Location) -> String {
    let span = location.span();
    let written = span
        .byte_offset()
        .zip(span.byte_len())
        .and_then(|(from, len)| {
            let from = usize::try_from(from).ok()?;
            text.get(from..from.checked_add(usize::try_from(len).ok()?)?)
        });
    written.unwrap_or_default().to_owned()
}

/// Turns serde-saphyr's location into a place; an unknown one becomes the file's start.
pub(super) fn place_of(location: Location) -> Place {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Place::new(number(location.line()), number(location.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(node: &Node) -> Vec<(&str, u32)> {
        let pairs = node.pairs().iter();
        pairs
            .map(|(k, _)| (k.text().unwrap(), k.place.line))
            .collect()
    }

    #[test]
    fn keeps_places_spellings_and_duplicates() {
        let node = parse("a: 1.10\nb: [x, 'y z']\na: 0755\n").unwrap();
        assert_eq!(keys(&node), [("a", 1), ("b", 2), ("a", 3)]);
        let a = node.get("a").unwrap();
        assert_eq!((a.text(), a.place), (Some("1.10"), Place::new(1, 4)));
        let quoted = &node.get("b").unwrap().items()[1];
        assert_eq!(quoted.text(), Some("y z"));
        assert_eq!((quoted.place, quoted.len), (Place::new(2, 8), 5));
        assert_eq!(node.pairs()[2].1.text(), Some("0755"));
    }

    #[test]
    fn merges_without_losing_where_a_value_is_written() {
        let node = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n").unwrap();
        let b = node.get("b").unwrap();
        assert_eq!(b.get("y").unwrap().text(), Some("3"));
        assert_eq!(b.get("x").unwrap().place, Place::new(1, 11));
        assert_eq!(keys(b).len(), 2);
        assert_eq!(
            node.get("c").unwrap().get("y").unwrap().place,
            Place::new(1, 17)
        );
    }

    #[test]
    fn reads_only_true_and_false_as_booleans() {
        let node = parse("a: yes\nb: true\nc: ~\n").unwrap();
        assert_eq!(node.get("a").unwrap().text(), Some("yes"));
        assert!(matches!(node.get("b").unwrap().value, Value::Bool(true)));
        assert!(matches!(node.get("c").unwrap().value, Value::Null));
    }

    #[test]
    fn refuses_a_text_that_would_eat_the_memory() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let p = n - 1;
            bomb += &format!("a{n}: &a{n} [*a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}]\n");
        }
        assert!(parse(&bomb).is_err());
        assert!(parse(&"[".repeat(10_000)).is_err());
    }
}
