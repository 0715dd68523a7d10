//! The JSON Schema of the cluster file, made from the same table that the reader checks.

use serde_json::{Map, Value, json};

use super::keys;
use super::shape::{COMPONENT, Keys, Shape, VARIABLE};

/// Returns the JSON Schema (draft 2020-12) of the cluster file, for editors.
///
/// It says all that can be said of the shape of one value; what has to fit together in the file
/// is checked by the model.
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cluster.yml of paas-cluster-build",
        "description": "One PaaS cluster: its components, where they run, and how to get there.",
    });
    merge(&mut schema, mapping(&keys::FILE));
    schema
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Count { min } => json!({"type": "integer", "minimum": min, "maximum": u32::MAX}),
        Shape::Port => json!({"type": "integer", "minimum": 1, "maximum": 65535}),
        Shape::Text(rule) => match rule.pattern {
            Some(pattern) => json!({"type": "string", "pattern": pattern}),
            None => json!({"type": "string", "minLength": 1}),
        },
        Shape::Choice(words) => json!({"enum": words}),
        Shape::List(item) => json!({"type": "array", "minItems": 1, "items": self::shape(item)}),
        Shape::Items(item) => json!({"type": "array", "items": self::shape(item)}),
        Shape::Data => json!({}),
        Shape::Named(rule, value) => json!({
            "type": "object",
            "propertyNames": {"pattern": rule.pattern},
            "additionalProperties": self::shape(value),
        }),
        Shape::Map(keys) => mapping(keys),
        Shape::Components(value) => json!({
            "type": "object",
            "propertyNames": {"pattern": COMPONENT.pattern},
            "additionalProperties": self::shape(value),
        }),
        Shape::Vars => json!({
            "type": "object",
            "propertyNames": {"pattern": VARIABLE.pattern},
        }),
        Shape::Any(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(self::shape).collect();
            json!({"anyOf": shapes})
        }
    }
}

fn mapping(keys: &Keys) -> Value {
    let mut properties = Map::new();
    for key in keys.keys {
        let mut property = json!({"description": key.about});
        merge(&mut property, shape(&key.shape));
        properties.insert(key.name.to_owned(), property);
    }
    let required: Vec<&str> = keys
        .keys
        .iter()
        .filter(|k| k.required)
        .map(|k| k.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if keys.has_extensions {
        schema["patternProperties"] = json!({"^x-": {}});
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !keys.exactly_one.is_empty() {
        let one = keys
            .exactly_one
            .iter()
            .map(|key| json!({"required": [key]}));
        schema["oneOf"] = one.collect();
    }
    if !keys.together.is_empty() {
        let pairs = keys.together.iter();
        let pairs: Map<String, Value> = pairs
            .map(|(one, other)| ((*one).to_owned(), json!([other])))
            .collect();
        schema["dependentRequired"] = Value::Object(pairs);
    }
    schema
}
