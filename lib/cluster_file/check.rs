//! Compares a tree with the table of keys and reports everything that doesn't fit.

use serde_json::Number;

use super::nearest::{nearest, suggest};
use super::shape::{ADDRESS, COMPONENT, Key, Keys, Shape, TextRule, VARIABLE};
use super::syntax::missing_space;
use super::tree::{Node, Value};
use super::{Place, Problem, address};

/// Reports all that is wrong with the shape of a file whose keys these are.
pub(super) fn check(root: &Node, keys: &'static Keys) -> Vec<Problem> {
    let mut checker = Checker::default();
    let owner = Owner {
        label: keys.what.to_owned(),
        place: Place::new(1, 1),
        len: 1,
    };
    checker.shape(root, &Shape::Map(keys), &owner);
    checker.problems
}

/// The key (or list) that a value belongs to: what messages call it, and where they point when
/// the value itself has no place worth showing.
struct Owner {
    label: String,
    place: Place,
    len: usize,
}

impl Owner {
    fn of_key(key: &Node) -> Self {
        Owner {
            label: format!("`{}`", key.text().unwrap_or(&key.raw)),
            place: key.place,
            len: key.len,
        }
    }
}

#[derive(Default)]
struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    fn shape(&mut self, node: &Node, shape: &Shape, owner: &Owner) {
        match (shape, &node.value) {
            (_, Value::Null) => {
                let problem = Problem::new(
                    owner.place,
                    owner.len,
                    format!("{} has no value", owner.label),
                );
                self.problems.push(problem.expected(shape.expected()));
            }
            (Shape::Any(shapes), _) => match shapes.iter().find(|s| is_kind(s, &node.value)) {
                Some(shape) => self.shape(node, shape, owner),
                None => self.mismatch(node, shape, owner),
            },
            (shape, value) if !is_kind(shape, value) => self.mismatch(node, shape, owner),
            (Shape::Count { min }, Value::Number(n)) => {
                self.number(node, n, *min, u32::MAX.into(), shape, owner);
            }
            (Shape::Port, Value::Number(n)) => {
                self.number(node, n, 1, u16::MAX.into(), shape, owner);
            }
            (Shape::Text(rule), _) => self.text(node, rule, owner),
            (Shape::Choice(words), _) => self.choice(node, words, owner),
            (Shape::List(item) | Shape::Items(item), Value::List(items)) => {
                if items.is_empty() && matches!(shape, Shape::List(_)) {
                    self.mismatch(node, shape, owner);
                }
                for node in items {
                    let owner = Owner {
                        label: format!("an item of {}", owner.label),
                        place: node.place,
                        len: node.len,
                    };
                    self.shape(node, item, &owner);
                }
            }
            (Shape::Data, _) => self.data(node, owner),
            (Shape::Map(keys), Value::Map(pairs)) => self.mapping(pairs, keys, owner),
            (Shape::Named(rule, shape), Value::Map(pairs)) => {
                self.names(pairs, rule);
                for (key, value) in pairs {
                    self.shape(value, shape, &Owner::of_key(key));
                }
            }
            (Shape::Components(shape), Value::Map(pairs)) => {
                self.names(pairs, &COMPONENT);
                for (key, value) in pairs {
                    self.shape(value, shape, &Owner::of_key(key));
                }
            }
            (Shape::Vars, Value::Map(pairs)) => {
                self.names(pairs, &VARIABLE);
                for (key, value) in pairs {
                    self.data(value, &Owner::of_key(key));
                }
            }
            // A `Bool` that is one; every other pair was a mismatch above.
            _ => {}
        }
    }

    fn mismatch(&mut self, node: &Node, shape: &Shape, owner: &Owner) {
        let compound = matches!(node.value, Value::List(_) | Value::Map(_));
        let (place, len) = if compound {
            (owner.place, owner.len)
        } else {
            (node.place, node.len)
        };
        let message = format!("{} can't be {}", owner.label, kind(node));
        let mut problem = Problem::new(place, len, message).expected(shape.expected());
        problem.help = match (shape, &node.value) {
            (
                Shape::Map(Keys {
                    no_text: Some(why), ..
                }),
                Value::Text(_) | Value::Number(_),
            ) => Some((*why).to_owned()),
            (Shape::Bool, Value::Text(t)) | (Shape::Any([Shape::Bool, ..]), Value::Text(t)) => {
                yes_or_no(t).map(|b| format!("write `{b}`"))
            }
            (Shape::List(item) | Shape::Items(item), Value::Text(_))
                if is_kind(item, &node.value) =>
            {
                Some(format!("a list of one is written `[{}]`", node.raw))
            }
            (Shape::Count { .. } | Shape::Port, Value::Text(t)) if t.parse::<u64>().is_ok() => {
                Some("leave the quotes out".into())
            }
            (_, Value::Text(_)) if missing_space(&node.raw).is_some() => {
                missing_space(&node.raw).map(|key| format!("is a space missing after `{key}:`?"))
            }
            (Shape::Text(_), Value::Bool(_)) => Some(format!("as a text it is \"{}\"", node.raw)),
            _ => None,
        };
        // A password that stands in the file must not be repeated on the screen.
        if matches!(
            shape,
            Shape::Map(Keys {
                no_text: Some(_),
                ..
            })
        ) && !compound
        {
            problem.place = owner.place;
            problem.len = owner.len;
        }
        self.problems.push(problem);
    }

    fn number(
        &mut self,
        node: &Node,
        number: &Number,
        min: u64,
        max: u64,
        shape: &Shape,
        owner: &Owner,
    ) {
        if number.as_u64().is_none_or(|n| n < min || n > max) {
            let message = format!("{} can't be {}", owner.label, node.raw);
            let problem = Problem::new(node.place, node.len, message);
            self.problems.push(problem.expected(shape.expected()));
        }
    }

    fn text(&mut self, node: &Node, rule: &TextRule, owner: &Owner) {
        let text = node.text().unwrap_or_default();
        if text.contains('\0') {
            self.nul(node, owner);
        } else if !(rule.holds)(text) {
            let message = format!("{} can't be {text:?}", owner.label);
            let mut problem = Problem::new(node.place, node.len, message).expected(rule.expected);
            if rule.expected == ADDRESS.expected {
                problem.help = Some(address::guess(text));
            }
            self.problems.push(problem);
        }
    }

    fn nul(&mut self, node: &Node, owner: &Owner) {
        let message = format!("{} holds a NUL character", owner.label);
        let problem = Problem::new(node.place, node.len, message);
        self.problems
            .push(problem.help("a shell script can't carry it: leave it out"));
    }

    fn choice(&mut self, node: &Node, words: &[&str], owner: &Owner) {
        // `off` is a text here, but an unquoted `false` or `no` may be meant for it.
        let text = node.text().unwrap_or_default();
        if !words.contains(&text) {
            let message = format!("{} can't be {text:?}", owner.label);
            let problem = Problem::new(node.place, node.len, message)
                .expected(format!("one of {}", words.join(", ")));
            let near = nearest(text, words.iter().copied());
            let help = near.map(|word| format!("did you mean `{word}`?"));
            self.problems.push(problem.maybe_help(help));
        }
    }

    fn mapping(&mut self, pairs: &[(Node, Node)], keys: &Keys, owner: &Owner) {
        self.duplicates(pairs);
        for (key, value) in pairs {
            let name = key.text().unwrap_or(&key.raw);
            match keys.keys.iter().find(|k| k.name == name) {
                Some(known) => self.shape(value, &known.shape, &Owner::of_key(key)),
                None if keys.has_extensions && name.starts_with("x-") => {}
                None => self.unknown_key(key, keys),
            }
        }
        let has = |name: &str| pairs.iter().any(|(k, _)| k.text() == Some(name));
        // A key that is only misspelt isn't missing too.
        let unknown = pairs.iter().filter_map(|(k, _)| k.text());
        let unknown = unknown.filter(|name| keys.keys.iter().all(|k| k.name != *name));
        let meant: Vec<&str> = unknown
            .filter_map(|name| nearest(name, keys.keys.iter().map(|k| k.name)))
            .collect();
        let missing = |k: &&Key| k.required && !has(k.name) && !meant.contains(&k.name);
        for key in keys.keys.iter().filter(missing) {
            let message = format!("{} has no `{}`", owner.label, key.name);
            let problem = Problem::new(owner.place, owner.len, message);
            let expected = format!("`{}`: {}", key.name, key.shape.expected());
            self.problems.push(problem.help(format!("add {expected}")));
        }
        if !keys.exactly_one.iter().any(|key| meant.contains(key)) {
            self.alternatives(pairs, keys, owner);
        }
        for (one, other) in keys.together {
            if let Some((key, _)) = pairs.iter().find(|(k, _)| k.text() == Some(one))
                && !has(other)
                && !meant.contains(other)
            {
                let message = format!("`{one}` needs `{other}` beside it");
                self.problems
                    .push(Problem::new(key.place, key.len, message));
            }
        }
    }

    fn unknown_key(&mut self, key: &Node, keys: &Keys) {
        if matches!(key.value, Value::List(_) | Value::Map(_)) {
            let problem = Problem::new(key.place, key.len, "a key must be a text");
            self.problems.push(problem);
            return;
        }
        let name = key.text().unwrap_or(&key.raw);
        let meant = nearest(name, keys.refused.iter().map(|(refused, _)| *refused));
        let refused = keys
            .refused
            .iter()
            .find(|(refused, _)| meant == Some(refused));
        let help = match refused {
            Some((_, why)) => Some((*why).to_owned()),
            None => suggest(name, keys.keys.iter().map(|k| k.name)),
        };
        let message = format!("{} has no key `{name}`", keys.what);
        self.problems
            .push(Problem::new(key.place, key.len, message).maybe_help(help));
    }

    fn alternatives(&mut self, pairs: &[(Node, Node)], keys: &Keys, owner: &Owner) {
        if keys.exactly_one.is_empty() {
            return;
        }
        let names = keys.exactly_one.join(", ");
        let is_one = |key: &Node| key.text().is_some_and(|k| keys.exactly_one.contains(&k));
        let mut given = pairs.iter().map(|(k, _)| k).filter(|k| is_one(k));
        let Some(first) = given.next() else {
            let message = format!("{} needs one of {names}", owner.label);
            self.problems
                .push(Problem::new(owner.place, owner.len, message));
            return;
        };
        for second in given.filter(|k| k.text() != first.text()) {
            let message = format!("{} takes only one of {names}", owner.label);
            self.problems.push(
                Problem::new(second.place, second.len, message)
                    .also(first.place, "this one is there already"),
            );
        }
    }

    /// Checks the keys of a mapping whose keys are names given by the file.
    fn names(&mut self, pairs: &[(Node, Node)], rule: &TextRule) {
        self.duplicates(pairs);
        for (key, _) in pairs {
            let name = key.text().unwrap_or(&key.raw);
            if !(rule.holds)(name) {
                let message = format!("{name:?} can't be a name here");
                let problem = Problem::new(key.place, key.len, message);
                self.problems.push(problem.expected(rule.expected));
            }
        }
    }

    fn duplicates(&mut self, pairs: &[(Node, Node)]) {
        for (at, (key, _)) in pairs.iter().enumerate() {
            let name = key.text().unwrap_or(&key.raw);
            let same = |(k, _): &&(Node, Node)| k.text().unwrap_or(&k.raw) == name;
            if let Some((first, _)) = pairs[..at].iter().find(same) {
                let message = format!("`{name}` is written twice");
                self.problems.push(
                    Problem::new(key.place, key.len, message)
                        .also(first.place, "the first one is here")
                        .help("keep one of them"),
                );
            }
        }
    }

    /// Checks a value under `vars`: plain data that means what it looks like.
    fn data(&mut self, node: &Node, owner: &Owner) {
        match &node.value {
            Value::Null => {
                let message = format!("{} has no value", owner.label);
                let problem = Problem::new(owner.place, owner.len, message);
                self.problems
                    .push(problem.help("an empty text is written \"\""));
            }
            Value::Text(text) if text.contains('\0') => self.nul(node, owner),
            Value::Text(_) | Value::Bool(_) => {}
            Value::Number(number) => {
                // 1.10 would become 1.1, 0755 would become 755, 0x10 would become 16.
                let becomes = number.to_string();
                if becomes != node.raw {
                    let message = format!("{} would become {becomes}", owner.label);
                    let problem = Problem::new(node.place, node.len, message);
                    let quoted = format!("write \"{}\" to keep it as it is", node.raw);
                    self.problems.push(problem.help(quoted));
                }
            }
            Value::List(items) => {
                for item in items {
                    self.data(item, owner);
                }
            }
            Value::Map(pairs) => {
                self.duplicates(pairs);
                for (key, value) in pairs {
                    if !matches!(key.value, Value::Text(_)) {
                        let message = format!("{} isn't a text", key.raw);
                        let problem = Problem::new(key.place, key.len, message);
                        self.problems
                            .push(problem.help("keys in `vars` are texts: put it in quotes"));
                    } else if key.text().is_some_and(|t| t.contains('\0')) {
                        self.nul(key, owner);
                    }
                    self.data(value, &Owner::of_key(key));
                }
            }
        }
    }
}

/// Tells whether a value is of the kind that a shape is made of.
fn is_kind(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Bool => matches!(value, Value::Bool(_)),
        Shape::Count { .. } | Shape::Port => matches!(value, Value::Number(_)),
        // An unquoted number is a fine text: it is taken as it is written.
        Shape::Text(_) => matches!(value, Value::Text(_) | Value::Number(_)),
        Shape::Choice(_) => matches!(value, Value::Text(_)),
        Shape::List(_) | Shape::Items(_) => matches!(value, Value::List(_)),
        Shape::Data => true,
        Shape::Named(..) | Shape::Map(_) | Shape::Components(_) | Shape::Vars => {
            matches!(value, Value::Map(_))
        }
        Shape::Any(shapes) => shapes.iter().any(|s| is_kind(s, value)),
    }
}

fn kind(node: &Node) -> &str {
    match &node.value {
        Value::Null => "empty",
        Value::Bool(true) => "`true`",
        Value::Bool(false) => "`false`",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(items) if items.is_empty() => "an empty list",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "on" | "y" => Some(true),
        "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
