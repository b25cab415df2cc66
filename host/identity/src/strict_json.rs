//! JSON read strictly: a member named twice and a document nested too deeply are refused.
//!
//! Ordinary parsers keep the last of two members with one name, others the first. What is signed must mean the same to
//! everybody, so such documents are refused here.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::IdentityError;
use crate::error::shorten;

/// Reads one JSON document.
///
/// `depth_max` counts arrays and objects inside each other; a number alone has depth 0. The caller bounds the size.
///
/// # Errors
/// [`IdentityError::JsonMalformed`], [`IdentityError::JsonDuplicateKey`], [`IdentityError::JsonTooDeep`].
pub fn parse(bytes: &[u8], depth_max: usize) -> Result<Value, IdentityError> {
    let refusal = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict {
        depth_left: depth_max,
        depth_max,
        refusal: &refusal,
    };
    let read = seed
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        // serde's errors are text; the typed reason waits beside them.
        refusal.take().unwrap_or_else(|| IdentityError::JsonMalformed {
            why: shorten(&error.to_string()),
        })
    })
}

/// One value at a given depth.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: usize,
    depth_max: usize,
    refusal: &'a RefCell<Option<IdentityError>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.refuse(IdentityError::JsonTooDeep {
                depth_max: self.depth_max,
            })),
        }
    }

    fn refuse<E: serde::de::Error>(self, why: IdentityError) -> E {
        self.refusal.replace(Some(why));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number without a finite value"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(self.refuse(IdentityError::JsonDuplicateKey { key: shorten(&key) }));
            }
            let value = map.next_value_seed(inner)?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth_and_under_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"[{"b":{"a":1,"x":2,"a":3}}]"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            let refused = parse(text.as_bytes(), 32);
            assert_eq!(
                refused,
                Err(IdentityError::JsonDuplicateKey { key: "a".into() }),
                "{text}"
            );
        }
    }

    #[test]
    fn the_same_name_in_two_objects_is_fine() {
        assert!(parse(br#"[{"a":1},{"a":{"a":2}}]"#, 32).is_ok());
    }

    #[test]
    fn depth_is_counted_in_arrays_and_objects_and_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(32).as_bytes(), 32).is_ok());
        assert_eq!(
            parse(nested(33).as_bytes(), 32),
            Err(IdentityError::JsonTooDeep { depth_max: 32 })
        );
        assert!(parse(b"7", 0).is_ok());
        assert_eq!(parse(b"{}", 0), Err(IdentityError::JsonTooDeep { depth_max: 0 }));
    }

    #[test]
    fn a_hundred_thousand_open_brackets_are_refused_without_recursing_into_them() {
        assert_eq!(
            parse("[".repeat(100_000).as_bytes(), 32),
            Err(IdentityError::JsonTooDeep { depth_max: 32 })
        );
    }

    #[test]
    fn what_is_not_one_json_document_in_utf8_is_refused() {
        for text in [
            &b""[..],
            b"{",
            b"{} {}",
            b"nul",
            b"\"\xff\"",
            b"[1,]",
            b"{'a':1}",
            b"1e999",
            b"\"\\ud800\"",
        ] {
            assert!(
                matches!(parse(text, 32), Err(IdentityError::JsonMalformed { .. })),
                "{text:?}"
            );
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::hash_map(".*", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_ordinary_document_reads_as_it_does_elsewhere(value in json()) {
            prop_assert_eq!(parse(value.to_string().as_bytes(), 32), Ok(value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 4);
        }
    }
}
