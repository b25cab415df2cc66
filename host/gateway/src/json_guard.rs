//! Reads JSON from outside: nesting is bounded, a member named twice is refused, and every schema is closed.

use kinetic_identity::strict_json;
use kinetic_model::CapsuleRef;
use serde_json::{Map, Value};

use crate::GatewayError;
use crate::error::tame;

/// One JSON document.
pub(crate) fn parse(bytes: &[u8], depth_max: usize) -> Result<Value, GatewayError> {
    strict_json::parse(bytes, depth_max).map_err(|e| GatewayError::of_json(&e))
}

/// A JSON object being taken apart, member by member; what is left at the end is refused.
pub(crate) struct Members(Map<String, Value>);

impl Members {
    pub(crate) fn parse(bytes: &[u8], depth_max: usize) -> Result<Self, GatewayError> {
        match parse(bytes, depth_max)? {
            Value::Object(members) => Ok(Self(members)),
            other => Err(wrong("the body", "an object", &other)),
        }
    }

    /// A text member; `null` is as good as none.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, GatewayError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// An object member; `null` is as good as none.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, GatewayError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(other) => Err(wrong(name, "an object", &other)),
        }
    }

    /// Ends the reading: no member may be left.
    pub(crate) fn end(self, known: &str) -> Result<(), GatewayError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let why = format!("no such member; there are {known}");
                Err(GatewayError::BadRequest { path: tame(name), why })
            }
        }
    }
}

/// What to say when a member that must be there is not.
pub(crate) fn missing(name: &str) -> GatewayError {
    GatewayError::BadRequest {
        path: name.into(),
        why: "it is missing".into(),
    }
}

/// A capability's name out of a member or a path.
pub(crate) fn capsule(path: &str, text: &str) -> Result<CapsuleRef, GatewayError> {
    text.parse().map_err(|e: kinetic_model::ModelError| {
        let why = e.to_string();
        GatewayError::BadRequest {
            path: path.into(),
            why: why.trim_end_matches('.').into(),
        }
    })
}

fn wrong(path: &str, wanted: &str, found: &Value) -> GatewayError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    GatewayError::BadRequest {
        path: path.into(),
        why: format!("it must be {wanted}, not {found}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_member_is_refused_by_name() {
        let mut members = Members::parse(br#"{"intent":{},"intend":{}}"#, 8).unwrap();
        assert!(members.object("intent").unwrap().is_some());
        let Err(GatewayError::BadRequest { path, why }) = members.end("intent") else {
            panic!("accepted")
        };
        assert!(path == "intend" && why.contains("intent"));
    }

    #[test]
    fn what_is_no_object_or_of_the_wrong_type_is_refused_with_what_it_must_be() {
        assert!(matches!(
            Members::parse(b"[1]", 8),
            Err(GatewayError::BadRequest { .. })
        ));
        let mut members = Members::parse(br#"{"a":1,"b":null}"#, 8).unwrap();
        assert_eq!(members.text("b"), Ok(None));
        let Err(GatewayError::BadRequest { why, .. }) = members.text("a") else {
            panic!("accepted")
        };
        assert_eq!(why, "it must be a string, not a number");
    }

    #[test]
    fn syntax_doubled_members_and_depth_have_codes_of_their_own() {
        let Err(GatewayError::BadJson { why }) = parse(b"{\n \"a\": }", 8) else {
            panic!("accepted")
        };
        assert!(why.contains("line 2 column 7"), "{why}");
        assert!(matches!(
            parse(br#"{"a":1,"a":2}"#, 8),
            Err(GatewayError::DuplicateMember { .. })
        ));
        assert_eq!(parse(b"[[[]]]", 2), Err(GatewayError::JsonTooDeep { depth_max: 2 }));
    }
}
