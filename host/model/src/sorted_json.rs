//! JSON with sorted members, whatever order a map keeps them in: what is hashed must not depend on who wrote it.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Map, Value};

/// A value that is written with the members of all its objects in the order of their names.
#[derive(Clone, Copy, Debug)]
pub struct Sorted<'a>(pub &'a Value);

/// An object that is written so.
#[derive(Clone, Copy, Debug)]
pub struct SortedMap<'a>(pub &'a Map<String, Value>);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => SortedMap(members).serialize(serializer),
            Value::Array(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    out.serialize_element(&Sorted(item))?;
                }
                out.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

impl Serialize for SortedMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.len()))?;
        // Mostly they are in order, or there is one.
        if self.0.keys().is_sorted() {
            for (name, value) in self.0 {
                out.serialize_entry(name, &Sorted(value))?;
            }
        } else {
            let mut members: Vec<_> = self.0.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                out.serialize_entry(name, &Sorted(value))?;
            }
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_in_the_order_of_their_names_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{ "b": [1, {"z": null, "a": "é"}], "a": 1.5 }"#).unwrap();
        let written = serde_json::to_string(&Sorted(&value)).unwrap();
        assert_eq!(written, r#"{"a":1.5,"b":[1,{"a":"é","z":null}]}"#);
    }
}
