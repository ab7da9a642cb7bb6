//! JSON Schemas out of the loader's own description of the document.
//!
//! A schema knows form alone; what fields mean together is said by the loader. So every document
//! that loads fits the schemas, and not every document that fits loads.

use herdgate::config::DOCUMENT;
use herdgate::config::shape::{Field, Kind, Need, Shape, Syntax};
use serde_json::{Map, Value, json};

/// The schema for editors and other tools (draft-07).
pub fn document() -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Herdgate",
        "description": "The configuration of the Herdgate filter, the same on Envoy and Kong.",
    });
    extend(&mut schema, object(&DOCUMENT));
    schema
}

/// Kong's metadata of the filter, with the schema of `config` (draft-04, an object or a string).
pub fn kong() -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "description": "The configuration of the Herdgate filter, as an object or as JSON in a string.",
    });
    extend(&mut schema, object(&DOCUMENT));
    if let Some(members) = schema.as_object_mut() {
        members.insert("type".to_owned(), json!(["object", "string"]));
    }
    json!({ "config_schema": schema })
}

/// As it is written to a file.
pub fn text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

fn extend(schema: &mut Value, more: Value) {
    if let (Some(schema), Value::Object(more)) = (schema.as_object_mut(), more) {
        schema.extend(more);
    }
}

fn object(shape: &Shape) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in shape.fields().filter(|field| !matches!(field.kind, Kind::Later)) {
        properties.insert(field.name.to_owned(), property(field));
        if matches!(field.need, Need::Required) {
            required.push(field.name);
        }
    }
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    // An empty list is no valid `required` in draft-04.
    if !required.is_empty() {
        extend(&mut schema, json!({ "required": required }));
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = json!({ "description": field.doc });
    extend(&mut schema, of(&field.kind));
    let default = match &field.need {
        Need::Required | Need::Optional => return schema,
        Need::Whole(number) => json!(number),
        Need::Fraction(number) => json!(number),
        Need::Bool(bool) => json!(bool),
        Need::Text(text) => json!(text),
        Need::Texts(texts) => json!(texts),
    };
    extend(&mut schema, json!({ "default": default }));
    schema
}

fn of(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Fraction(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Text(syntax) => text_of(syntax),
        Kind::OneOf(names) => json!({ "type": "string", "enum": names }),
        Kind::Url => json!({ "type": "string", "pattern": "^https?://", "maxLength": 2048 }),
        Kind::Secret | Kind::Pem => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "object", "properties": { "env": { "type": "string", "minLength": 1 } }, "required": ["env"], "additionalProperties": false },
        ] }),
        Kind::PrivateKey => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "object", "minProperties": 1 },
        ] }),
        Kind::Jwk => {
            json!({ "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "object" }] })
        }
        Kind::Opaque => json!({ "type": "object" }),
        Kind::ClaimPath => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "maxItems": 8 },
        ] }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::List(items, min, max) => {
            json!({ "type": "array", "items": of(items), "minItems": min, "maxItems": max })
        }
        Kind::Object(shape) => object(shape),
        Kind::Map(_, values, max) => {
            json!({ "type": "object", "additionalProperties": of(values), "maxProperties": max })
        }
        Kind::Either(one, other) => json!({ "anyOf": [of(one), of(other)] }),
        // Left out by `object`.
        Kind::Later => json!({ "not": {} }),
    }
}

fn text_of(syntax: &Syntax) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": syntax.max })
}
