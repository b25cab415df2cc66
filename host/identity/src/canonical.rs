//! Signed documents have one spelling: JSON without spaces, members in the order of their names, none twice, none unknown.
//!
//! It is the form that [`kinetic_model::Sorted`] writes. The types that are read and written here declare their fields in
//! the order of their names and refuse unknown ones, so they need no tree of values in between: an index has many entries.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::shorten;

/// The document's one spelling.
pub(crate) fn write<T: Serialize>(document: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(document).map_err(|e| shorten(&e.to_string()))
}

/// Reads a document; another spelling of it is refused.
///
/// A member named twice, an unknown one and a document nested deeper than its type are refused by the type itself.
pub(crate) fn read<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, String> {
    let document: T = serde_json::from_slice(bytes).map_err(|e| shorten(&e.to_string()))?;
    let mut same = Same { rest: bytes };
    let written = serde_json::to_writer(&mut same, &document).is_ok();
    if written && same.rest.is_empty() {
        Ok(document)
    } else {
        Err("it is not in canonical form: sorted members, no spaces".into())
    }
}

/// A writer that fails at the first byte that is not the expected one.
struct Same<'a> {
    rest: &'a [u8],
}

impl io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest = self
            .rest
            .strip_prefix(bytes)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        a: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        b: Option<String>,
        c: Vec<u64>,
    }

    #[test]
    fn a_document_reads_back_what_it_writes() {
        for b in [None, Some("é\n".to_string())] {
            let sample = Sample { a: 1, b, c: vec![2, 3] };
            let bytes = write(&sample).unwrap();
            assert_eq!(read::<Sample>(&bytes).unwrap(), sample);
        }
    }

    #[test]
    fn any_other_spelling_is_refused() {
        assert!(read::<Sample>(br#"{"a":1,"c":[]}"#).is_ok());
        for text in [
            "",
            "[1,null,[]]",
            r#" {"a":1,"c":[]}"#,
            r#"{"a":1,"c":[]} "#,
            r#"{"a":1,"c":[]}{}"#,
            r#"{"c":[],"a":1}"#,
            r#"{"a":1,"a":1,"c":[]}"#,
            r#"{"a":1,"b":null,"c":[]}"#,
            r#"{"a":1,"b":"\u0061","c":[]}"#,
            r#"{"a":1,"c":[],"d":1}"#,
            r#"{"a":1.0,"c":[]}"#,
            r#"{"a":01,"c":[]}"#,
            r#"{"a":-1,"c":[]}"#,
        ] {
            assert!(read::<Sample>(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read::<Sample>("[".repeat(100_000).as_bytes()).is_err());
    }
}
