//! The JSON Schema of the configuration file, made from the table of keys.

use super::duration;
use super::keys::{self, Key, Shape};
use serde_json::{Map, Value, json};

/// The JSON Schema (draft 2020-12) of the configuration file, for editors.
///
/// Taplo and the editors built on it complete from it after the line `#:schema /path/of/unexpired.schema.json` at the top of the file.
///
/// ```
/// let schema = unexpired::config::schema();
/// assert!(schema.contains("\"client_secret\""));
/// ```
pub fn schema() -> String {
    let token = |nested: bool| {
        let keys: Vec<&Key> = keys::TOKEN.iter().filter(|key| !(nested && key.outermost)).collect();
        let mut object = table(&keys);
        object.insert("dependentRequired".into(), json!({ "fallback_on": ["fallback"] }));
        object.insert("allOf".into(), keys::PROVIDER_NAMES.iter().map(|name| provider(name, &keys)).collect());
        Value::Object(object)
    };
    let name = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
    let named = |reference: &str, about: &str| {
        json!({
            "type": "object",
            "description": about,
            "propertyNames": { "pattern": name },
            "additionalProperties": { "$ref": reference },
        })
    };
    let mut properties: Map<String, Value> =
        keys::TOP.iter().map(|key| (key.name.to_owned(), described(key))).collect();
    properties.insert("token".into(), named("#/$defs/token", "The tokens, by name."));
    properties.insert("route".into(), named("#/$defs/route", "What the proxy serves, by name."));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of unexpired",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "$defs": {
            "token": token(false),
            "fallback": token(true),
            "route": table(&keys::ROUTE.iter().collect::<Vec<_>>()),
            "secret": secret(),
            "duration": { "type": "string", "pattern": duration::PATTERN, "minLength": 2 },
        },
    });
    // A `Value` is always JSON.
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

/// A table with these keys and no others.
fn table(keys: &[&Key]) -> Map<String, Value> {
    let required: Vec<&str> =
        keys.iter().filter(|key| key.required && key.providers.is_empty()).map(|key| key.name).collect();
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), described(key))).collect();
    let mut object = Map::new();
    object.insert("type".into(), json!("object"));
    object.insert("additionalProperties".into(), json!(false));
    object.insert("required".into(), json!(required));
    object.insert("properties".into(), Value::Object(properties));
    object
}

/// Which keys a provider knows, and which it cannot do without.
fn provider(name: &str, keys: &[&Key]) -> Value {
    let known: Vec<&str> = keys.iter().filter(|key| key.is_for(name)).map(|key| key.name).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.is_required_by(name)).map(|key| key.name).collect();
    let mut then = json!({ "propertyNames": { "enum": known }, "required": required });
    if let (Some(then), Value::Object(together)) = (then.as_object_mut(), together(name)) {
        then.extend(together);
    }
    json!({
        "if": { "properties": { "provider": { "const": name } }, "required": ["provider"] },
        "then": then,
    })
}

/// What the keys of a provider must say together: `rules.rs`, as far as a schema can say it.
fn together(provider: &str) -> Value {
    let has = |key: &str| json!({ "required": [key] });
    let one_of = |one: &str, other: &str| json!([has(one), has(other)]);
    let none_of = |keys: &[&str]| json!({ "not": { "anyOf": keys.iter().map(|key| has(key)).collect::<Vec<_>>() } });
    let public = json!({ "properties": { "client_auth": { "const": "none" } }, "required": ["client_auth"] });
    match provider {
        "entra" => json!({ "properties": { "scope": { "maxItems": 1 } } }),
        "google" => json!({ "not": { "required": ["audience", "scope"] } }),
        "command" => json!({ "oneOf": one_of("command", "shell") }),
        "oauth" => json!({
            "oneOf": one_of("issuer", "token_url"),
            "if": { "properties": { "grant": { "const": "refresh_token" } }, "required": ["grant"] },
            "then": {
                "oneOf": one_of("refresh_token", "refresh_token_file"),
                "if": { "required": ["client_auth"] },
                "then": { "if": public, "then": none_of(&["client_secret"]), "else": has("client_secret") },
            },
            "else": {
                "required": ["client_secret"],
                "properties": { "client_auth": { "not": { "const": "none" } } },
                "allOf": [none_of(&["refresh_token", "refresh_token_file"])],
            },
        }),
        _ => Value::Null,
    }
}

fn described(key: &Key) -> Value {
    let mut value = shape(key.shape);
    if let Some(object) = value.as_object_mut() {
        let default = if key.default.is_empty() { String::new() } else { format!(" Default: {}.", key.default) };
        object.insert("description".into(), json!(format!("{}{default}", key.about)));
    }
    value
}

fn shape(shape: Shape) -> Value {
    let text = || json!({ "type": "string", "minLength": 1 });
    let strings = || json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 });
    match shape {
        Shape::Text | Shape::Script => text(),
        Shape::Entry => json!({ "type": "string", "pattern": ENTRY }),
        Shape::Path => json!({ "type": "string", "pattern": PATH }),
        Shape::Url => json!({ "type": "string", "pattern": URL }),
        Shape::Texts => json!({ "anyOf": [text(), strings()] }),
        Shape::Hosts => strings(),
        Shape::Argv => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Duration => json!({ "$ref": "#/$defs/duration" }),
        Shape::Choice(choices) => json!({ "type": "string", "enum": choices }),
        Shape::Choices(choices) => json!({ "type": "array", "items": { "type": "string", "enum": choices } }),
        Shape::Secret => json!({ "$ref": "#/$defs/secret" }),
        Shape::SecretOrPath => {
            json!({ "anyOf": [{ "type": "string", "pattern": PATH }, { "$ref": "#/$defs/secret" }] })
        }
        Shape::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65535 }),
        Shape::Statuses => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 400, "maximum": 499 }, "minItems": 1 })
        }
        Shape::Fallback => json!({ "$ref": "#/$defs/fallback" }),
    }
}

/// Exactly one place.
fn secret() -> Value {
    let mut object = table(&keys::SECRET.iter().collect::<Vec<_>>());
    object.insert("minProperties".into(), json!(1));
    object.insert("maxProperties".into(), json!(1));
    object.insert("description".into(), json!("Where a secret is; it does not stand in this file."));
    Value::Object(object)
}

/// From the root, as Unix or Windows write it.
const PATH: &str = r"^(/|[A-Za-z]:[\\/]|\\\\)";
/// A service and an account.
const ENTRY: &str = "^.+/[^/]+$";
/// HTTPS, or loopback.
const URL: &str = r"^([Hh][Tt][Tt][Pp][Ss]://|[Hh][Tt][Tt][Pp]://(localhost|127(\.[0-9]+){3}|\[::1\])([:/?]|$))";
