//! Numbers, texts and JSON values as bytes between a host and its workers; reading is safe whoever wrote them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

/// How deep a JSON value may nest: deeper than any the engine reads or writes, and no danger to a stack.
const DEPTH_MAX: usize = 256;
/// How many values one frame may hold: each takes far more memory than its bytes.
const VALUES_MAX: u32 = 16_000_000;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const UNSIGNED: u8 = 3;
const SIGNED: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const OBJECT: u8 = 8;

/// Bytes that are not what they should be, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Writes; nothing of it can fail. What is too long for its length field makes a frame that is too large to be sent.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub(crate) fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Small things of our own, whose fields change: as JSON text. No floats, which JSON text does not carry exactly.
    pub(crate) fn small(&mut self, thing: &impl Serialize) -> &mut Self {
        // Structs of numbers and texts always have a form; an empty one is refused where it is read.
        self.bytes(&serde_json::to_vec(thing).unwrap_or_default())
    }

    pub(crate) fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.byte(NULL),
            Value::Bool(false) => self.byte(FALSE),
            Value::Bool(true) => self.byte(TRUE),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.byte(TEXT).bytes(text.as_bytes()),
            Value::Array(items) => {
                self.byte(LIST).length(items.len());
                for item in items {
                    self.value(item);
                }
                self
            }
            Value::Object(members) => self.byte(OBJECT).members(members),
        }
    }

    pub(crate) fn members(&mut self, members: &Map<String, Value>) -> &mut Self {
        self.length(members.len());
        for (name, value) in members {
            self.bytes(name.as_bytes()).value(value);
        }
        self
    }

    fn number(&mut self, number: &Number) -> &mut Self {
        if let Some(number) = number.as_u64() {
            self.byte(UNSIGNED).u64(number)
        } else if let Some(number) = number.as_i64() {
            self.byte(SIGNED).u64(number.cast_unsigned())
        } else {
            self.byte(FLOAT).u64(number.as_f64().unwrap_or_default().to_bits())
        }
    }
}

/// Reads what a [`Writer`] wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    values_left: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            values_left: VALUES_MAX,
        }
    }

    /// All must have been read.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Malformed("something follows its end"))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Malformed("it ends too early"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither 0 nor 1")),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn seed(&mut self) -> Result<[u8; 32], Malformed> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| Malformed("a seed has not 32 bytes"))
    }

    /// A count of things that take a byte each at least.
    fn count(&mut self) -> Result<usize, Malformed> {
        let count = u32::from_le_bytes(self.array()?) as usize;
        if count > self.rest.len() {
            return Err(Malformed("it is shorter than it says"));
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.count()?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))?;
        Ok(text.to_string())
    }

    pub(crate) fn small<T: DeserializeOwned>(&mut self) -> Result<T, Malformed> {
        serde_json::from_slice(self.bytes()?).map_err(|_| Malformed("a part of it cannot be read"))
    }

    pub(crate) fn value(&mut self) -> Result<Value, Malformed> {
        self.value_at(0)
    }

    pub(crate) fn members(&mut self) -> Result<Map<String, Value>, Malformed> {
        self.members_at(0)
    }

    fn members_at(&mut self, depth: usize) -> Result<Map<String, Value>, Malformed> {
        let mut members = Map::new();
        for _ in 0..self.count()? {
            let name = self.text()?;
            members.insert(name, self.value_at(depth + 1)?);
        }
        Ok(members)
    }

    fn value_at(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed("its values nest too deep"));
        }
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or(Malformed("it holds too many values"))?;
        Ok(match self.byte()? {
            NULL => Value::Null,
            FALSE => false.into(),
            TRUE => true.into(),
            UNSIGNED => self.u64()?.into(),
            SIGNED => self.u64()?.cast_signed().into(),
            FLOAT => Number::from_f64(f64::from_bits(self.u64()?))
                .ok_or(Malformed("a number is none"))?
                .into(),
            TEXT => self.text()?.into(),
            LIST => {
                // Grown as values are read: a count alone takes no memory.
                let mut items = Vec::new();
                for _ in 0..self.count()? {
                    items.push(self.value_at(depth + 1)?);
                }
                items.into()
            }
            OBJECT => self.members_at(depth)?.into(),
            _ => return Err(Malformed("a value is of no known kind")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn written(value: &Value) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.value(value);
        writer.done()
    }

    fn read(bytes: &[u8]) -> Result<Value, Malformed> {
        let mut reader = Reader::new(bytes);
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }

    proptest! {
        #[test]
        fn a_value_comes_back_bit_for_bit_and_every_cut_and_addition_is_refused(
            value in any_value(),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = written(&value);
            let back = read(&bytes).unwrap();
            prop_assert_eq!(written(&back), bytes.clone());
            prop_assert_eq!(back, value);
            prop_assert!(read(&bytes[..cut.index(bytes.len())]).is_err());
            prop_assert!(read(&[bytes.as_slice(), &[0]].concat()).is_err());
        }

        #[test]
        fn any_bytes_at_all_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_float_that_json_text_rounds_is_carried_exactly() {
        let float = f64::from_bits(0x4341_c379_37e0_8001);
        let back = read(&written(&json!([float]))).unwrap();
        assert_eq!(back[0].as_f64().unwrap().to_bits(), float.to_bits());
    }

    #[test]
    fn values_that_nest_without_end_are_refused_before_the_stack_is() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend_from_slice(&[LIST, 1, 0, 0, 0]);
        }
        bytes.push(NULL);
        assert_eq!(read(&bytes), Err(Malformed("its values nest too deep")));
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_takes_no_memory() {
        assert_eq!(
            read(&[LIST, 0xff, 0xff, 0xff, 0xff]),
            Err(Malformed("it is shorter than it says"))
        );
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        let mut bytes = vec![FLOAT];
        bytes.extend_from_slice(&f64::NAN.to_bits().to_le_bytes());
        assert!(read(&bytes).is_err());
    }
}
