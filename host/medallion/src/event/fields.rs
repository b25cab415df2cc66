//! The members of an event, or of the frame in its `data`, that mean something.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::frame::{self, Choices, Interface, Tokens, Usage};
use super::json::{Loose, Scalar, keys};
use super::names;

/// What one object says.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) workflow_id: Option<Cow<'a, str>>,
    pub(super) intent_id: Option<Cow<'a, str>>,
    pub(super) node_cid: Option<Cow<'a, str>>,
    pub(super) sequence: Option<u64>,
    pub(super) topic: Option<Cow<'a, str>>,
    pub(super) priority: Option<u8>,
    pub(super) tier: Option<u8>,
    pub(super) received_unix_ns: Option<i64>,
    pub(super) token: Option<Cow<'a, str>>,
    pub(super) interface: Interface,
    pub(super) choices: Choices<'a>,
    pub(super) usage: Option<Tokens>,
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) duration_ms: Option<f64>,
    pub(super) marks: Marks,
    /// It says something beside `data` that no column of an envelope's holds as it is.
    pub(super) says_more: bool,
}

/// Members of which only their presence counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks(u8);

impl Marks {
    pub(super) const JSONRPC: u8 = 1;
    pub(super) const METHOD: u8 = 1 << 1;
    pub(super) const ID: u8 = 1 << 2;
    pub(super) const RESULT: u8 = 1 << 3;
    pub(super) const RECEIPT: u8 = 1 << 4;
    /// A `topic` that is no text: where the event belongs is not known.
    pub(super) const STRANGE_TOPIC: u8 = 1 << 5;

    pub(super) fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    fn set(&mut self, mark: u8) {
        self.0 |= mark;
    }
}

keys! {
    enum Key {
        WorkflowId = "workflow_id",
        IntentId = "intent_id",
        NodeCid = "node_cid",
        Sequence = "sequence",
        Topic = "topic",
        Priority = "priority",
        Tier = "tier",
        Determinism = "determinism",
        ReceivedUnixNs = "received_unix_ns",
        Token = "token",
        Data = "data",
        Object = "object",
        Choices = "choices",
        Usage = "usage",
        Model = "model",
        Error = "error",
        DurationMs = "duration_ms",
        LatencyNs = "latency_ns",
        WallTimeNs = "wall_time_ns",
        Jsonrpc = "jsonrpc",
        Method = "method",
        Id = "id",
        Result = "result",
        ReceiptId = "receipt_id",
    }
}

/// What an event's `data` is.
#[derive(Debug, Default)]
pub(super) enum Data<'a> {
    #[default]
    Missing,
    /// Neither a text nor an object.
    Other,
    /// A text without escapes.
    Text(&'a str),
    /// A text with escapes, written out in the parser's buffer.
    Unescaped,
    /// An object, read into the parser's inner fields.
    Object,
}

/// Reads an object into `fields`.
pub(super) struct ObjectReader<'s, 'a> {
    pub(super) fields: &'s mut Fields<'a>,
    /// Where to put `data`; without it that is a member like any other.
    pub(super) data: Option<DataPlace<'s, 'a>>,
}

/// Where an event's `data` goes.
pub(super) struct DataPlace<'s, 'a> {
    pub(super) data: &'s mut Data<'a>,
    pub(super) inner: &'s mut Fields<'a>,
    pub(super) buffer: &'s mut String,
}

impl<'de> DeserializeSeed<'de> for ObjectReader<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectReader<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key()? {
            match (key, &mut self.data) {
                (Key::Data, Some(place)) => {
                    self.fields.says_more |= !matches!(place.data, Data::Missing);
                    *place.inner = Fields::default();
                    *place.data = object.next_value_seed(DataReader { place })?;
                }
                _ => self.fields.member(key, &mut object)?,
            }
        }
        Ok(())
    }
}

impl<'de> Fields<'de> {
    fn member<A: MapAccess<'de>>(&mut self, key: Key, object: &mut A) -> Result<(), A::Error> {
        let known = match key {
            Key::WorkflowId => id(&mut self.workflow_id, object)?,
            Key::IntentId => id(&mut self.intent_id, object)?,
            Key::NodeCid => id(&mut self.node_cid, object)?,
            Key::Sequence => keep(&mut self.sequence, object, |value| match value {
                // The number after it must be one too, also where numbers are signed.
                Scalar::Unsigned(number) => Some(number).filter(|number| i64::try_from(*number).is_ok()),
                _ => None,
            })?,
            Key::Topic => {
                let known = keep(&mut self.topic, object, Scalar::into_text)?;
                if !known {
                    self.marks.set(Marks::STRANGE_TOPIC);
                }
                known
            }
            Key::Priority => keep(&mut self.priority, object, |value| match value {
                Scalar::Text(name) => names::priority(&name),
                Scalar::Unsigned(number) => names::priority_number(number),
                _ => None,
            })?,
            Key::Tier | Key::Determinism => keep(&mut self.tier, object, |value| match value {
                Scalar::Text(name) => names::tier(&name),
                Scalar::Unsigned(number) => names::tier_number(number),
                _ => None,
            })?,
            Key::ReceivedUnixNs => keep(&mut self.received_unix_ns, object, |value| value.to_i64())?,
            Key::Token => keep(&mut self.token, object, Scalar::into_text)?,
            _ => {
                self.frame_member(key, object)?;
                false
            }
        };
        self.says_more |= !known;
        Ok(())
    }

    fn frame_member<A: MapAccess<'de>>(&mut self, key: Key, object: &mut A) -> Result<(), A::Error> {
        match key {
            Key::Object => self.interface = object.next_value::<Loose<Interface>>()?.0,
            Key::Choices => self.choices = object.next_value::<Loose<Choices<'de>>>()?.0,
            Key::Usage => self.usage = object.next_value::<Loose<Usage>>()?.0.0,
            Key::Model => self.model = frame::text(object)?,
            Key::Error => self.error = frame::error(object.next_value::<&RawValue>()?),
            Key::DurationMs => self.duration(object, 1.0)?,
            Key::LatencyNs | Key::WallTimeNs => self.duration(object, 1e6)?,
            Key::Jsonrpc => self.mark(Marks::JSONRPC, object)?,
            Key::Method => self.mark(Marks::METHOD, object)?,
            Key::Id => self.mark(Marks::ID, object)?,
            Key::Result => self.mark(Marks::RESULT, object)?,
            Key::ReceiptId => {
                if object.next_value::<Loose<Scalar<'de>>>()?.0 != Scalar::Null {
                    self.marks.set(Marks::RECEIPT);
                }
            }
            _ => {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn mark<A: MapAccess<'de>>(&mut self, mark: u8, object: &mut A) -> Result<(), A::Error> {
        self.marks.set(mark);
        object.next_value::<IgnoredAny>().map(drop)
    }

    fn duration<A: MapAccess<'de>>(&mut self, object: &mut A, per_ms: f64) -> Result<(), A::Error> {
        let value = object.next_value::<Loose<Scalar<'de>>>()?.0;
        let duration_ms = value.to_f64().map(|number| number / per_ms).filter(|ms| *ms >= 0.0);
        self.duration_ms = duration_ms.or(self.duration_ms);
        Ok(())
    }
}

/// Keeps what a value says; whether the column then says all that the value did.
fn keep<'de, A: MapAccess<'de>, T>(
    slot: &mut Option<T>,
    object: &mut A,
    read: impl FnOnce(Scalar<'de>) -> Option<T>,
) -> Result<bool, A::Error> {
    let value = object.next_value::<Loose<Scalar<'de>>>()?.0;
    let twice = slot.is_some();
    let null = value == Scalar::Null;
    *slot = read(value);
    Ok(!twice && (null || slot.is_some()))
}

/// Keeps an id, a number as it is written; whether the column then says all that the value did.
fn id<'de, A: MapAccess<'de>>(slot: &mut Option<Cow<'de, str>>, object: &mut A) -> Result<bool, A::Error> {
    let json = object.next_value::<&'de RawValue>()?.get();
    let twice = slot.is_some();
    let mut known = !twice;
    *slot = match json.bytes().next() {
        Some(b'"') => Some(unquote(json).map_err(A::Error::custom)?),
        Some(b'0'..=b'9' | b'-') => {
            known = false;
            Some(Cow::Borrowed(json))
        }
        other => {
            known &= other == Some(b'n');
            None
        }
    };
    Ok(known)
}

fn unquote(json: &str) -> serde_json::Result<Cow<'_, str>> {
    match json.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Ok(Cow::Borrowed(text)),
        _ => serde_json::from_str(json).map(Cow::Owned),
    }
}

/// Reads an event's `data`: copies a text at most once, into a buffer that is used again.
struct DataReader<'p, 's, 'a> {
    place: &'p mut DataPlace<'s, 'a>,
}

impl<'de> DeserializeSeed<'de> for DataReader<'_, '_, 'de> {
    type Value = Data<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DataReader<'_, '_, 'de> {
    type Value = Data<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Data<'de>, E> {
        Ok(Data::Text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Data<'de>, E> {
        self.place.buffer.clear();
        self.place.buffer.push_str(text);
        Ok(Data::Unescaped)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Data<'de>, A::Error> {
        let reader = ObjectReader {
            fields: self.place.inner,
            data: None,
        };
        reader.visit_map(object)?;
        Ok(Data::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Data<'de>, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Data::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_unit<E>(self) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }
}
