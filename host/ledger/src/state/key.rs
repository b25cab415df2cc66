//! Keys of the state and ranges of them, and their encoding, whose byte order is the order of the keys.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::BranchId;
use crate::LedgerError;
use crate::wire::{Wire, bytes_bytes, malformed, option_bytes, put_bytes, put_option, put_u64, u64_bytes};

/// The longest key, in bytes, and the longest owner.
pub const KEY_BYTES_MAX: usize = 2048;
/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: u64 = 16 << 20;

/// Who a key belongs to. Owners are ordered: capsules, types, the host, the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// One capsule, by its URN.
    Capsule(String),
    /// All capsules of a type, by its name without the namespace, as `actionspace:solver`.
    Type(String),
    /// The host itself: what its operators keep there.
    Host,
    /// The host's kernel: what it must find again after a restart. Not among the keys of [`KeyRange::everything`], so
    /// that nobody reads, writes, merges or watches them but who names this owner.
    Kernel,
}

/// A key: ordered by owner, then by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Who it belongs to.
    pub owner: Owner,
    /// Its name, 1 to [`KEY_BYTES_MAX`] bytes of any value.
    pub key: Vec<u8>,
}

/// A state write, as a commit holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where to.
    pub branch: BranchId,
    /// What.
    pub key: Key,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

/// A contiguous range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// Encoded: the first key.
    pub(super) from: Vec<u8>,
    /// Encoded: the first key behind the range.
    pub(super) end: Vec<u8>,
}

const CAPSULE: u8 = 1;
const TYPE: u8 = 2;
const HOST: u8 = 3;
const OWNERS_END: u8 = 4;
const KERNEL: u8 = 4;

// A NUL in the text is written as NUL, 255; the text's end as NUL, 1. So no encoded text is the beginning of another
// one, and a text sorts before what continues it.
const NUL: u8 = 0;
const NUL_ESCAPED: u8 = 255;
pub(super) const TERMINATOR: [u8; 2] = [NUL, 1];

fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    // This search takes many bytes at a time, the one below takes one.
    if !rest.contains(&NUL) {
        return out.extend_from_slice(rest);
    }
    while let Some(at) = rest.iter().position(|byte| *byte == NUL) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(&[NUL, NUL_ESCAPED]);
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Reads a text up to its terminator. Returns what follows.
fn unescape<'a>(mut bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], LedgerError> {
    loop {
        let at = bytes
            .iter()
            .position(|byte| *byte == NUL)
            .ok_or_else(|| malformed("a key has no end"))?;
        let (text, rest) = bytes.split_at(at);
        out.extend_from_slice(text);
        match rest {
            [_, NUL_ESCAPED, after @ ..] => {
                out.push(NUL);
                bytes = after;
            }
            [_, 1, after @ ..] => return Ok(after),
            _ => return Err(malformed("a key is not escaped")),
        }
    }
}

impl Owner {
    const fn tag(&self) -> u8 {
        match self {
            Self::Capsule(_) => CAPSULE,
            Self::Type(_) => TYPE,
            Self::Host => HOST,
            Self::Kernel => KERNEL,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Capsule(name) | Self::Type(name) => name,
            Self::Host | Self::Kernel => "",
        }
    }

    fn from_parts(tag: u8, name: &str) -> Result<Self, LedgerError> {
        match (tag, name) {
            (CAPSULE, name) => Ok(Self::Capsule(name.into())),
            (TYPE, name) => Ok(Self::Type(name.into())),
            (HOST, "") => Ok(Self::Host),
            (KERNEL, "") => Ok(Self::Kernel),
            _ => Err(malformed("a key's owner is of an unknown kind")),
        }
    }

    fn put_ordered(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        put_escaped(out, self.name().as_bytes());
        out.extend_from_slice(&TERMINATOR);
    }

    pub(super) fn put_wire(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        put_bytes(out, self.name().as_bytes());
    }

    pub(super) fn from_wire(wire: &mut Wire<'_>) -> Result<Self, LedgerError> {
        let tag = wire.u8()?;
        Self::from_parts(tag, wire.text()?)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capsule(name) | Self::Type(name) => f.write_str(name),
            Self::Host => f.write_str("host"),
            Self::Kernel => f.write_str("kernel"),
        }
    }
}

impl fmt::Display for Key {
    /// The owner and the key's name, what is not printable escaped, the name cut after 64 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.key.get(..64).unwrap_or(&self.key);
        let more = if shown.len() < self.key.len() { "..." } else { "" };
        write!(f, "{}/{}{more}", self.owner, shown.escape_ascii())
    }
}

impl Key {
    /// A key of an owner.
    pub fn new(owner: Owner, key: impl Into<Vec<u8>>) -> Self {
        Self { owner, key: key.into() }
    }

    /// Whether it can be stored.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        let invalid = |why: String| Err(LedgerError::InvalidKey { why });
        if self.key.is_empty() {
            return invalid("it is empty".into());
        }
        for (what, bytes) in [("it", self.key.len()), ("its owner", self.owner.name().len())] {
            if bytes > KEY_BYTES_MAX {
                return invalid(format!("{what} has {bytes} bytes, more than {KEY_BYTES_MAX}"));
            }
        }
        Ok(())
    }

    /// Appends the form whose byte order is the order of the keys. None is the beginning of another.
    pub(super) fn put_ordered(&self, out: &mut Vec<u8>) {
        self.owner.put_ordered(out);
        put_escaped(out, &self.key);
        out.extend_from_slice(&TERMINATOR);
    }

    pub(super) fn ordered(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ordered_bytes());
        self.put_ordered(&mut out);
        out
    }

    /// How long the ordered form is when nothing needs escaping.
    pub(super) fn ordered_bytes(&self) -> usize {
        self.owner.name().len() + self.key.len() + 5
    }

    pub(super) fn from_ordered(bytes: &[u8]) -> Result<Self, LedgerError> {
        let (&tag, rest) = bytes.split_first().ok_or_else(|| malformed("a key is empty"))?;
        let mut name = Vec::new();
        let rest = unescape(rest, &mut name)?;
        let name = std::str::from_utf8(&name).map_err(|_| malformed("a key's owner is not UTF-8"))?;
        let owner = Owner::from_parts(tag, name)?;
        let mut key = Vec::with_capacity(rest.len());
        if unescape(rest, &mut key)?.is_empty() {
            Ok(Self { owner, key })
        } else {
            Err(malformed("bytes follow a key"))
        }
    }
}

impl Write {
    /// Whether it can be stored.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        self.key.check()?;
        let bytes = self.value.as_ref().map_or(0, Bytes::len) as u64;
        if bytes > VALUE_BYTES_MAX {
            return Err(LedgerError::ValueTooLarge {
                bytes,
                bytes_max: VALUE_BYTES_MAX,
            });
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, u64::from(self.branch.0));
        self.key.owner.put_wire(out);
        put_bytes(out, &self.key.key);
        put_option(out, self.value.as_deref());
    }

    /// How long the encoded form is.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let owner = 1 + bytes_bytes(self.key.owner.name().as_bytes());
        u64_bytes(u64::from(self.branch.0)) + owner + bytes_bytes(&self.key.key) + option_bytes(self.value.as_deref())
    }

    /// The value shares the buffer.
    pub(crate) fn decode(payload: &Bytes) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(payload);
        let branch = BranchId(wire.u32()?);
        let owner = Owner::from_wire(&mut wire)?;
        let key = wire.bytes()?.to_vec();
        let value = wire.option()?.map(|value| payload.slice_ref(value));
        wire.end()?;
        Ok(Self {
            branch,
            key: Key { owner, key },
            value,
        })
    }
}

impl KeyRange {
    /// All keys of all owners but the kernel.
    pub fn everything() -> Self {
        Self {
            from: vec![CAPSULE],
            end: vec![OWNERS_END],
        }
    }

    /// All keys of an owner.
    pub fn owned_by(owner: &Owner) -> Self {
        Self::prefix(owner, b"")
    }

    /// The keys of an owner that begin with these bytes.
    pub fn prefix(owner: &Owner, prefix: &[u8]) -> Self {
        let mut from = Vec::new();
        owner.put_ordered(&mut from);
        put_escaped(&mut from, prefix);
        let end = behind_prefix(&from);
        Self { from, end }
    }

    /// The keys of an owner in these bounds.
    pub fn between(owner: &Owner, from: Bound<&[u8]>, end: Bound<&[u8]>) -> Self {
        let whole = Self::owned_by(owner);
        let place = |key: &[u8], behind: bool| {
            let key = Key::new(owner.clone(), key).ordered();
            if behind { behind_prefix(&key) } else { key }
        };
        Self {
            from: match from {
                Bound::Included(key) => place(key, false),
                Bound::Excluded(key) => place(key, true),
                Bound::Unbounded => whole.from,
            },
            end: match end {
                Bound::Included(key) => place(key, true),
                Bound::Excluded(key) => place(key, false),
                Bound::Unbounded => whole.end,
            },
        }
    }

    /// The part of it behind a key.
    pub(super) fn behind(mut self, key: &Key) -> Self {
        let behind = behind_prefix(&key.ordered());
        if behind > self.from {
            self.from = behind;
        }
        self
    }

    /// Whether a key is in it.
    pub fn has(&self, key: &Key) -> bool {
        self.contains(&key.ordered())
    }

    pub(super) fn contains(&self, ordered: &[u8]) -> bool {
        self.from.as_slice() <= ordered && ordered < self.end.as_slice()
    }
}

/// The smallest bytes behind all that begin with these, which are not all 255.
pub(super) fn behind_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner() -> impl Strategy<Value = Owner> {
        prop_oneof![
            "[a-b\0\u{ff}]{0,3}".prop_map(Owner::Capsule),
            "[a-b\0]{0,3}".prop_map(Owner::Type),
            Just(Owner::Host),
        ]
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(
            prop_oneof![
                Just(0_u8),
                Just(1),
                Just(2),
                Just(97),
                Just(254),
                Just(255),
                any::<u8>()
            ],
            0..6,
        )
    }

    fn key() -> impl Strategy<Value = Key> {
        (owner(), name()).prop_map(|(owner, key)| Key { owner, key })
    }

    #[test]
    fn the_kernels_keys_are_not_among_everything_and_come_back_as_they_were() {
        let key = Key::new(Owner::Kernel, b"binding/x");
        assert!(!KeyRange::everything().contains(&key.ordered()));
        assert!(KeyRange::owned_by(&Owner::Kernel).contains(&key.ordered()));
        let mut wire = Vec::new();
        Owner::Kernel.put_wire(&mut wire);
        assert_eq!(Owner::from_wire(&mut Wire::new(&wire)).unwrap(), Owner::Kernel);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn the_order_of_the_encoding_is_the_order_of_the_keys(a in key(), b in key()) {
            prop_assert_eq!(a.ordered().cmp(&b.ordered()), a.cmp(&b));
        }

        #[test]
        fn no_encoded_key_is_the_beginning_of_another(a in key(), b in key()) {
            prop_assert!(a == b || !b.ordered().starts_with(&a.ordered()));
        }

        #[test]
        fn an_encoded_key_is_read_back(a in key()) {
            prop_assert_eq!(Key::from_ordered(&a.ordered()).unwrap(), a);
        }

        #[test]
        fn a_prefix_holds_exactly_the_keys_that_begin_with_it(owner in owner(), prefix in name(), key in key()) {
            let range = KeyRange::prefix(&owner, &prefix);
            let expected = key.owner == owner && key.key.starts_with(&prefix);
            prop_assert_eq!(range.contains(&key.ordered()), expected);
        }

        #[test]
        fn bounds_hold_exactly_the_keys_between_them(
            owner in owner(), from in name(), end in name(), kinds in (0..3, 0..3), key in key(),
        ) {
            let bound = |kind: i32, name| match kind {
                0 => Bound::Included(name),
                1 => Bound::Excluded(name),
                _ => Bound::Unbounded,
            };
            let bounds = (bound(kinds.0, from.as_slice()), bound(kinds.1, end.as_slice()));
            let range = KeyRange::between(&owner, bounds.0, bounds.1);
            use std::ops::RangeBounds;
            let expected = key.owner == owner && RangeBounds::<[u8]>::contains(&bounds, &key.key[..]);
            prop_assert_eq!(range.contains(&key.ordered()), expected);
            prop_assert!(KeyRange::everything().contains(&key.ordered()));
        }

        #[test]
        fn a_write_is_read_back(branch: u32, key in key(), value: Option<Vec<u8>>) {
            let write = Write { branch: BranchId(branch), key, value: value.map(Bytes::from) };
            let mut out = Vec::new();
            write.encode(&mut out);
            prop_assert_eq!(Write::decode(&Bytes::from(out)).unwrap(), write);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
            let _ = Write::decode(&Bytes::from(bytes.clone()));
            let _ = Key::from_ordered(&bytes);
        }
    }

    #[test]
    fn the_encoding_stays_what_it_is() {
        let key = Key::new(Owner::Type("a:b".into()), b"x\0y");
        assert_eq!(key.ordered(), b"\x02a:b\x00\x01x\x00\xffy\x00\x01");
        let write = Write {
            branch: BranchId(300),
            key,
            value: Some(Bytes::from_static(b"v")),
        };
        let mut out = Vec::new();
        write.encode(&mut out);
        assert_eq!(out, b"\xac\x02\x02\x03a:b\x03x\x00y\x02v");
    }
}
