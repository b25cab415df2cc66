//! How a function and its arguments are given on the command line, for `kinetic call` and `kinetic run`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use kinetic_engine::Input;
use serde_json::{Map, Value};

use crate::error::{self, CliError};

/// A function and its arguments.
#[derive(Args, Debug, Default)]
pub struct InputArgs {
    /// The function; may be left out when the capability has only one
    #[arg(short, long, value_name = "NAME")]
    pub function: Option<String>,
    /// One argument: JSON where its type is not text (n=3, deep=true), the text itself where it is (text=hello)
    #[arg(short, long = "arg", value_name = "NAME=VALUE")]
    pub arg: Vec<String>,
    /// All arguments as one JSON object; @FILE reads it from a file, - from standard input
    #[arg(long, value_name = "JSON|@FILE", allow_hyphen_values = true)]
    pub args: Option<String>,
    /// A file for the one string or list<u8> parameter not given otherwise, sent as it is; - reads standard input
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Write the result into a file: a list<u8> as its bytes, text without quotes, anything else as JSON; - is standard output
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}

impl InputArgs {
    /// Whether the schema of the arguments decides how they are read.
    pub fn needs_schema(&self) -> bool {
        !self.arg.is_empty() || (self.file.is_some() && self.args.is_some())
    }

    /// The arguments; `schema` is the function's input schema, as far as it is known.
    ///
    /// # Errors
    /// Malformed arguments, or a file that cannot be read.
    pub fn read(&self, schema: &Value) -> Result<Input, CliError> {
        let mut named = match self.args.as_deref() {
            None => Map::new(),
            Some("-") => object(&bytes(Path::new("-"))?)?,
            Some(text) => match text.strip_prefix('@') {
                Some(path) => object(&bytes(Path::new(path))?)?,
                None => object(text.as_bytes())?,
            },
        };
        for pair in &self.arg {
            let bad = || CliError::BadArgument {
                why: format!("--arg {pair} is not NAME=VALUE"),
            };
            let (name, text) = pair.split_once('=').ok_or_else(bad)?;
            let parameter = schema
                .get("properties")
                .and_then(|all| all.get(name))
                .unwrap_or(&Value::Null);
            if named.insert(name.to_string(), value(text, parameter)).is_some() {
                return Err(CliError::BadArgument {
                    why: format!("the argument {name} is given twice"),
                });
            }
        }
        match &self.file {
            None => Ok(Input::Json(named)),
            Some(path) => Ok(Input::Bytes {
                bytes: bytes(path)?.into(),
                rest: named,
            }),
        }
    }
}

fn object(text: &[u8]) -> Result<Map<String, Value>, CliError> {
    serde_json::from_slice(text).map_err(|e| CliError::BadArgument {
        why: format!("--args is not a JSON object: {e}"),
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    if path != Path::new("-") {
        return std::fs::read(path).map_err(error::file(path));
    }
    let mut all = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut all)
        .map_err(error::file(path))?;
    Ok(all)
}

/// Text stays text where the type is text; elsewhere it is JSON if it parses, so that `n=3` is a number.
fn value(text: &str, schema: &Value) -> Value {
    if is_text(schema) {
        return text.into();
    }
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// Whether every value of the type is text; an optional one is left out, not given as `null`.
fn is_text(schema: &Value) -> bool {
    let kind = schema.get("type").and_then(Value::as_str);
    let choices = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(name)?.as_array());
    match (kind, choices) {
        (Some(kind), _) => kind == "string",
        (None, Some(choices)) => {
            let mut given = choices
                .iter()
                .filter(|choice| choice.get("type") != Some(&Value::from("null")))
                .peekable();
            given.peek().is_some() && given.all(is_text)
        }
        (None, None) => schema.get("const").is_some_and(Value::is_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(arg: &[&str], args: Option<&str>, schema: Value) -> Result<Map<String, Value>, CliError> {
        let arg = arg.iter().map(ToString::to_string).collect();
        let given = InputArgs {
            arg,
            args: args.map(ToString::to_string),
            ..InputArgs::default()
        };
        match given.read(&json!({ "properties": schema }))? {
            Input::Json(named) | Input::Bytes { rest: named, .. } => Ok(named),
        }
    }

    #[test]
    fn an_argument_is_read_as_its_type_wants() {
        let schema = json!({
            "text": { "type": "string" },
            "maybe": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "count": { "type": "integer" },
            "large": { "anyOf": [{ "type": "integer" }, { "type": "string" }] },
            "tags": { "type": "array" },
            "mode": { "oneOf": [{ "const": "true" }, { "const": "fast" }] },
        });
        let given = [
            "text=12",
            "maybe=null",
            "count=12",
            "large=5",
            "tags=[\"a=b\"]",
            "mode=true",
            "new=plain",
        ];
        let expected = json!({
            "text": "12", "maybe": "null", "count": 12, "large": 5, "tags": ["a=b"], "mode": "true", "new": "plain",
        });
        assert_eq!(Value::Object(read(&given, None, schema).unwrap()), expected);
    }

    #[test]
    fn arguments_may_come_as_json_and_by_name_but_not_twice() {
        let both = read(&["b=2"], Some(r#"{"a": 1}"#), json!({})).unwrap();
        assert_eq!(Value::Object(both), json!({ "a": 1, "b": 2 }));
        assert!(read(&["a=2"], Some(r#"{"a": 1}"#), json!({})).is_err());
        assert!(read(&["a"], None, json!({})).is_err());
        assert!(read(&[], Some("[1]"), json!({})).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"a": 3}"#).unwrap();
        let from_file = read(&[], Some(&format!("@{}", file.path().display())), json!({})).unwrap();
        assert_eq!(Value::Object(from_file), json!({ "a": 3 }));
    }

    #[test]
    fn a_file_is_taken_as_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xff\x00").unwrap();
        let given = InputArgs {
            file: Some(file.path().into()),
            ..InputArgs::default()
        };
        let Input::Bytes { bytes, .. } = given.read(&Value::Null).unwrap() else {
            panic!("no bytes")
        };
        assert_eq!(bytes.as_ref(), b"\xff\x00");
    }
}
