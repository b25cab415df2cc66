//! JSON lines without a tree: the members of one line's object, each as a cell of a column.

use std::borrow::Cow;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::value::Cell;

/// One member of an object.
#[derive(Debug, PartialEq)]
pub(crate) struct Member<'t> {
    /// The name of its column.
    pub(crate) name: String,
    /// The first byte of its JSON, which says what it is.
    first: u8,
    /// The text of a JSON string, of anything else its JSON.
    text: Cow<'t, str>,
}

impl Member<'_> {
    /// Its value.
    pub(crate) fn cell(&self) -> Cell<'_> {
        let text = self.text.as_ref();
        match self.first {
            b'n' => Cell::Null,
            b't' | b'f' => Cell::Boolean(text),
            b'"' => Cell::of_text(text),
            b'[' => Cell::Array(text),
            b'{' => Cell::Object(text),
            // Numbers beyond what a float holds stay text.
            _ => Cell::number(text).unwrap_or(Cell::Text(text)),
        }
    }
}

/// Why a line is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRow {
    /// It is no JSON object, or names a column twice.
    Malformed,
    /// It has more members than are read.
    TooWide,
}

/// The members of a line's object in their order; an object among them is opened once, into `outer.inner`.
pub(crate) fn members(line: &str, members_max: usize) -> Result<Vec<Member<'_>>, NoRow> {
    let mut all = Vec::new();
    for member in object(line, members_max)? {
        if member.first != b'{' {
            all.push(member);
            continue;
        }
        let inner = object(&member.text, members_max)?;
        all.extend(inner.into_iter().map(|inner| Member {
            name: format!("{}.{}", member.name, inner.name),
            first: inner.first,
            text: inner.text.into_owned().into(),
        }));
        if all.len() > members_max {
            return Err(NoRow::TooWide);
        }
    }
    let mut names: Vec<_> = all.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| pair.first() == pair.last());
    if twice { Err(NoRow::Malformed) } else { Ok(all) }
}

/// The text of a JSON string, of anything else its JSON; none when a string is no text (half of a UTF-16 pair).
fn text_of(json: &str) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"').and_then(|json| json.strip_suffix('"')) {
        None => Some(json.into()),
        Some(plain) if !plain.contains('\\') => Some(plain.into()),
        Some(_) => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

fn object(text: &str, members_max: usize) -> Result<Vec<Member<'_>>, NoRow> {
    let mut json = serde_json::Deserializer::from_str(text);
    let members = json
        .deserialize_map(Members(members_max))
        .map_err(|_| NoRow::Malformed)?;
    json.end().map_err(|_| NoRow::Malformed)?;
    if members.len() > members_max {
        Err(NoRow::TooWide)
    } else {
        Ok(members)
    }
}

/// Reads members; one more than wanted at most.
struct Members(usize);

impl<'t> Visitor<'t> for Members {
    type Value = Vec<Member<'t>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while members.len() <= self.0 {
            let Some(name) = map.next_key::<String>()? else {
                return Ok(members);
            };
            let json = map.next_value::<&RawValue>()?.get();
            let first = json.bytes().next().unwrap_or_default();
            let text = text_of(json).ok_or_else(|| A::Error::custom("half a character"))?;
            members.push(Member { name, first, text });
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(line: &str) -> Result<Vec<String>, NoRow> {
        members(line, 3).map(|members| members.into_iter().map(|member| member.name).collect())
    }

    #[test]
    fn members_keep_their_order_and_objects_open_once() {
        assert_eq!(
            names(r#" {"z":1, "a":{"c":{"d":1},"b":[]}} "#).unwrap(),
            ["z", "a.c", "a.b"]
        );
        assert_eq!(names("{}").unwrap(), Vec::<String>::new());
        assert_eq!(names(r#"{"a":{}}"#).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_or_names_a_column_twice_is_malformed() {
        for line in [
            "",
            "1",
            "[1]",
            "{",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":tru}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1,\"a\":2}",
            "{\"a.b\":1,\"a\":{\"b\":2}}",
            "{\"a\":01}",
            "{\"a\":1,}",
        ] {
            assert_eq!(names(line), Err(NoRow::Malformed), "{line}");
        }
    }

    #[test]
    fn too_many_members_are_told_apart_from_malformed_ones() {
        assert_eq!(names(r#"{"a":1,"b":2,"c":3,"d":4}"#), Err(NoRow::TooWide));
        assert_eq!(names(r#"{"a":1,"b":{"c":3,"d":4,"e":5}}"#), Err(NoRow::TooWide));
        assert_eq!(names(r#"{"a":1,"b":2,"c":3,"d":4"#), Err(NoRow::Malformed));
    }

    #[test]
    fn values_are_what_json_says_they_are() {
        let line = r#"{"n":null,"b":true,"t":"5","e":"\u00fc\n","i":9007199254740993}"#;
        let members = members(line, 9).unwrap();
        let cells: Vec<_> = members.iter().map(Member::cell).collect();
        let big = 9_007_199_254_740_992.0;
        let expected = [
            Cell::Null,
            Cell::Boolean("true"),
            Cell::Text("5"),
            Cell::Text("ü\n"),
            Cell::Integer("9007199254740993", big),
        ];
        assert_eq!(cells, expected);
    }

    #[test]
    fn nesting_of_any_depth_is_passed_over() {
        let line = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(names(&line).unwrap(), ["a"]);
    }

    proptest! {
        #[test]
        fn any_flat_object_is_read_back(members in proptest::collection::btree_map("[^.]{0,6}", "\\PC{0,6}", 0..6)) {
            let line = serde_json::to_string(&members).unwrap();
            let read = super::members(&line, 9).unwrap().into_iter();
            let read: Vec<_> = read.map(|member| (member.name, member.text.into_owned())).collect();
            prop_assert_eq!(read, members.into_iter().collect::<Vec<_>>());
        }
    }
}
