//! Reads what a request about the state asks: owner and key out of the path, the rest out of the query, byte by byte,
//! because keys need not be text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kinetic_ledger::state::{BranchId, KEY_BYTES_MAX, Key, Owner, PAGE_ENTRIES_MAX, Version};
use kinetic_ledger::{Ledger, LedgerError};
use kinetic_model::Urn;
use serde_json::{Value, json};

use crate::GatewayError;
use crate::ask::{Ask, bad};
use crate::error::tame;
use crate::problem::Problem;

/// Entries of a page for which nobody named a limit.
const LIMIT_DEFAULT: usize = 1_000;

/// What a conditional write expects of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It does not exist.
    Nothing,
    /// That record wrote it.
    Seq(u64),
}

impl Expected {
    pub(super) fn check(self, key: &Key, found: Option<&Version>) -> Result<(), GatewayError> {
        let found = found.map_or(Self::Nothing, |version| Self::Seq(version.seq));
        if found == self {
            return Ok(());
        }
        Err(GatewayError::StateMoved {
            key: key.to_string(),
            found: found.to_string(),
            expected: self.to_string(),
        })
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Seq(seq) => seq.fmt(f),
        }
    }
}

impl Ask {
    /// The owner that the path names first.
    pub(super) fn owner(&self) -> Result<Owner, GatewayError> {
        owner("the path", self.segment_text(0)?)
    }

    /// The owner and key that the path names.
    pub(super) fn key(&self) -> Result<Key, Problem> {
        let key = self.segment(1);
        check_length(key)?;
        Ok(Key::new(self.owner()?, key))
    }

    /// The branch that the path names.
    pub(super) fn branch_of_path(&self) -> Result<(Owner, String), GatewayError> {
        Ok((self.owner()?, self.segment_text(1)?.to_string()))
    }

    /// The record that the path names: `ledger/records/{seq}`.
    pub(super) fn record_number(&self) -> Result<u64, GatewayError> {
        let text = self.segment_text(1)?;
        text.parse()
            .map_err(|_| bad("the path", "a record's number is a whole number from 0 on"))
    }

    /// A key, or the beginning of one.
    pub(super) fn key_bytes(&self, name: &str) -> Result<Option<&[u8]>, Problem> {
        let found = self.bytes(name);
        check_length(found.unwrap_or_default())?;
        Ok(found)
    }

    /// The key after which a page over all owners begins.
    pub(super) fn after(&self) -> Result<Option<Key>, Problem> {
        match (self.text("after-owner")?, self.key_bytes("after")?) {
            (None, None) => Ok(None),
            (Some(of), Some(key)) => Ok(Some(Key::new(owner("after-owner", of)?, key))),
            _ => Err(bad("after", "after and after-owner go together").into()),
        }
    }

    /// How many entries a page has.
    pub(super) fn page(&self) -> Result<usize, GatewayError> {
        self.limit(LIMIT_DEFAULT, PAGE_ENTRIES_MAX)
    }

    /// Below which number records count: all that can be read, when the query says nothing.
    pub(super) fn below(&self, ledger: &Ledger, name: &str) -> Result<u64, Problem> {
        below(self.number(name)?, ledger)
    }

    /// As [`Ask::below`], of `at`.
    pub(super) fn at(&self, ledger: &Ledger) -> Result<u64, Problem> {
        self.below(ledger, "at")
    }

    /// The branch that the query names; `owner`'s unless it names another owner.
    pub(super) fn branch(&self, ledger: &Ledger, owner_default: &Owner, at: u64) -> Result<BranchId, Problem> {
        let of = self
            .text("branch-owner")?
            .map(|of| owner("branch-owner", of))
            .transpose()?;
        branch_id(ledger, of.as_ref().unwrap_or(owner_default), self.text("branch")?, at)
    }

    /// What a conditional write expects; none when it is not conditional.
    pub(super) fn expected(&self) -> Result<Option<Expected>, GatewayError> {
        match self.text("if-seq")? {
            None => Ok(None),
            Some("none") => Ok(Some(Expected::Nothing)),
            Some(seq) => {
                let seq = seq
                    .parse()
                    .map_err(|_| bad("if-seq", "it must be a record's number, or none"))?;
                Ok(Some(Expected::Seq(seq)))
            }
        }
    }
}

/// The number below which records count; what cannot be read yet is refused.
pub(super) fn below(asked: Option<u64>, ledger: &Ledger) -> Result<u64, Problem> {
    let visible = ledger.visible();
    match asked {
        Some(seq) if seq > visible => Err(LedgerError::NotYet { seq, next: visible }.into()),
        asked => Ok(asked.unwrap_or(visible)),
    }
}

/// The number of a branch; nothing and `main` name the one that is always there.
pub(super) fn branch_id(ledger: &Ledger, owner: &Owner, name: Option<&str>, at: u64) -> Result<BranchId, Problem> {
    match name {
        None | Some("main") => Ok(BranchId::MAIN),
        Some(name) => Ok(ledger.state().branch(owner, &tame(name), at)?.id),
    }
}

fn check_length(key: &[u8]) -> Result<(), Problem> {
    if key.len() > KEY_BYTES_MAX {
        let why = format!("it has {} bytes, more than {KEY_BYTES_MAX}", key.len());
        return Err(LedgerError::InvalidKey { why }.into());
    }
    Ok(())
}

/// An owner: a capsule's URN, `type:CLASS:NAME`, or `host`.
pub(super) fn owner(path: &str, text: &str) -> Result<Owner, GatewayError> {
    if text == "host" {
        return Ok(Owner::Host);
    }
    let refused = || {
        bad(
            path,
            "an owner is host, a capsule's URN, or a type such as type:solver:redact",
        )
    };
    if let Some(name) = text.strip_prefix("type:") {
        let word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let two_words = name
            .split_once(':')
            .is_some_and(|(class, name)| word(class) && word(name));
        return if two_words && text.len() <= KEY_BYTES_MAX {
            Ok(Owner::Type(name.into()))
        } else {
            Err(refused())
        };
    }
    let urn: Urn = text.parse().map_err(|_| refused())?;
    Ok(Owner::Capsule(urn.as_str().into()))
}

/// An owner as [`owner`] reads it.
pub(super) fn owner_text(owner: &Owner) -> String {
    match owner {
        Owner::Type(name) => format!("type:{name}"),
        Owner::Capsule(_) | Owner::Host | Owner::Kernel => owner.to_string(),
    }
}

/// Bytes in JSON: a string when they are UTF-8, `{"base64": ...}` otherwise.
pub(super) fn text_or_base64(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({ "base64": BASE64.encode(bytes) }), Value::from)
}

/// The bytes that [`text_or_base64`] wrote.
pub(super) fn read_value(value: Value) -> Result<Bytes, GatewayError> {
    let wrong = || {
        bad(
            "the body",
            "a value is a string, or an object with base64 and nothing else",
        )
    };
    match value {
        Value::String(text) => Ok(text.into()),
        Value::Object(members) if members.len() == 1 => {
            let text = members.get("base64").and_then(Value::as_str).ok_or_else(wrong)?;
            let bytes = BASE64
                .decode(text)
                .map_err(|e| bad("base64", format!("it is not base64: {e}")))?;
            Ok(bytes.into())
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_too_long_is_refused() {
        let long = format!("/api/v1/state/host/{}", "x".repeat(KEY_BYTES_MAX + 1));
        assert!(Ask::of(&long.parse().unwrap(), &[]).unwrap().key().is_err());
        let good = Ask::of(&"/api/v1/state/host/a%2Fb".parse().unwrap(), &[]).unwrap();
        assert_eq!(good.key().unwrap(), Key::new(Owner::Host, b"a/b".as_slice()));
    }

    #[test]
    fn an_owner_is_read_as_it_is_written() {
        for text in ["host", "type:solver:redact", "urn:kinetic:actionspace:solver:redact:v1"] {
            assert_eq!(owner_text(&owner("", text).unwrap()), text);
        }
        for bad in [
            "",
            "Host",
            "type:",
            "type:a",
            "type:a:b:c",
            "urn:x",
            "urn:kinetic:actionspace:solver:redact:v1@1.0.0",
        ] {
            assert!(owner("", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_are_read_back_from_their_json() {
        for bytes in [b"".as_slice(), b"text", b"\xff\x00"] {
            assert_eq!(read_value(text_or_base64(bytes)).unwrap(), bytes);
        }
        for bad in [
            json!(1),
            json!(null),
            json!({ "base64": "?" }),
            json!({ "base64": "", "more": 1 }),
        ] {
            assert!(read_value(bad).is_err());
        }
    }
}
