//! Events in the JSON format of CloudEvents 1.0 (structured mode), in and out, strictly.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::envelope::{
    ATTRIBUTE_BYTES_MAX, Attribute, BINARY_KEY, DATA_BYTES_MAX, EXTENSIONS_MAX, Envelope, PARTITION_KEY, invalid,
    within,
};
use super::event::{Event, NewEvent};
use super::syntax;
use crate::LedgerError;

/// The longest event in JSON, in bytes: data of the largest size as base64 or with every character escaped, and the
/// attributes.
pub const JSON_BYTES_MAX: u64 = 6 * DATA_BYTES_MAX + (1 << 20);

const SPEC_VERSION: &str = "1.0";
/// Attributes and extensions an event can have at most, and one more to tell.
const MEMBERS_MAX: usize = EXTENSIONS_MAX + 12;

/// The members of an object, each as it was written. A name that comes twice is refused.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event as a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(A::Error::custom("it has too many attributes"));
                    }
                    if members.insert(name, map.next_value()?).is_some() {
                        return Err(A::Error::custom("an attribute comes twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Members<'a> {
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        // A null attribute is an attribute that is not there (CloudEvents JSON format, 2.2).
        self.0.remove(name).filter(|raw| raw.get() != "null")
    }

    fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, LedgerError> {
        self.take(name).map(|raw| text(name, raw)).transpose()
    }

    fn required(&mut self, name: &str) -> Result<Cow<'a, str>, LedgerError> {
        self.text(name)?.ok_or_else(|| invalid(format!("it has no {name}")))
    }
}

fn text<'a>(name: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, LedgerError> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let text: Text<'a> = serde_json::from_str(raw.get()).map_err(|_| invalid(format!("its {name} is not a text")))?;
    Ok(text.0)
}

fn base64(name: &str, raw: &RawValue) -> Result<Vec<u8>, LedgerError> {
    let text = text(name, raw)?;
    STANDARD
        .decode(text.as_bytes())
        .map_err(|_| invalid(format!("its {name} is not base64")))
}

fn attribute<'a>(name: &str, raw: &'a RawValue) -> Result<Attribute<'a>, LedgerError> {
    match raw.get() {
        "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        value if value.starts_with('"') => text(name, raw).map(Attribute::Text),
        value => {
            let number = value.parse::<i32>().map_err(|_| {
                invalid(format!(
                    "its {name} is neither a text, nor true or false, nor a whole number of 32 bits"
                ))
            })?;
            Ok(number.into())
        }
    }
}

impl NewEvent {
    /// Reads an event in the JSON format of CloudEvents 1.0. Its key is the `partitionkey` extension, or `kinetickey` in
    /// base64.
    ///
    /// # Errors
    /// `InvalidEvent` when it is not of the form; `EventTooLarge`; `TooMany` extensions.
    pub fn from_json(topic: impl Into<Arc<str>>, json: &[u8]) -> Result<Self, LedgerError> {
        within("the event", json.len() as u64, JSON_BYTES_MAX)?;
        let mut members: Members<'_> = serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))?;
        if members.required("specversion")? != SPEC_VERSION {
            return Err(invalid("its specversion is not 1.0"));
        }
        let mut builder = Envelope::builder(
            members.required("id")?,
            members.required("source")?,
            members.required("type")?,
        );
        if let Some(subject) = members.text("subject")? {
            builder = builder.subject(subject);
        }
        if let Some(time) = members.text("time")? {
            builder = builder.time(time);
        }
        if let Some(schema) = members.text("dataschema")? {
            builder = builder.schema(schema);
        }
        let content_type = members.text("datacontenttype")?;
        let json_data = syntax::is_json(content_type.as_deref());
        if let Some(content_type) = content_type {
            builder = builder.content_type(content_type);
        }
        builder = match (members.0.remove("data"), members.take("data_base64")) {
            (None, None) => builder,
            (Some(raw), None) if json_data => builder.data(raw.get().as_bytes()),
            (Some(raw), None) => match text("data", raw)? {
                Cow::Borrowed(text) => builder.data(text.as_bytes()),
                Cow::Owned(text) => builder.data(text.into_bytes()),
            },
            (None, Some(raw)) => builder.data(base64("data_base64", raw)?),
            (Some(_), Some(_)) => return Err(invalid("it has both data and data_base64")),
        };
        let key = match (members.text(PARTITION_KEY)?, members.take(BINARY_KEY)) {
            (None, None) => None,
            (Some(text), None) => Some(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(raw)) => Some(base64(BINARY_KEY, raw)?.into()),
            (Some(_), Some(_)) => return Err(invalid("it has two keys")),
        };
        for (name, raw) in &members.0 {
            if raw.get() != "null" {
                within(
                    "an attribute of the event",
                    raw.get().len() as u64,
                    6 * ATTRIBUTE_BYTES_MAX + 2,
                )?;
                builder = builder.extension(name.as_str(), attribute(name, raw)?);
            }
        }
        let event = Self {
            topic: topic.into(),
            key,
            envelope: builder.build()?,
        };
        event.check()?;
        Ok(event)
    }
}

/// Data as the JSON format wants it.
#[derive(Serialize)]
enum Payload<'a> {
    #[serde(rename = "data")]
    Json(&'a RawValue),
    #[serde(rename = "data")]
    Text(&'a str),
    #[serde(rename = "data_base64")]
    Binary(String),
}

fn payload<'a>(envelope: &'a Envelope, data: &'a [u8]) -> Payload<'a> {
    let text = if syntax::is_json(envelope.content_type()) {
        serde_json::from_slice(data).ok().map(Payload::Json)
    } else {
        std::str::from_utf8(data).ok().map(Payload::Text)
    };
    text.unwrap_or_else(|| Payload::Binary(STANDARD.encode(data)))
}

impl Event {
    /// The event in the JSON format of CloudEvents 1.0. JSON data stands there as it was published, but for white space
    /// around it; other data as text or in base64.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Form<'a> {
            #[serde(flatten)]
            attributes: Map<String, Value>,
            #[serde(flatten)]
            payload: Option<Payload<'a>>,
        }

        let envelope = &self.envelope;
        let mut attributes = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                attributes.insert(name.into(), value.into());
            }
        };
        put("specversion", Some(SPEC_VERSION));
        put("id", Some(envelope.id()));
        put("source", Some(envelope.source()));
        put("type", Some(envelope.kind()));
        put("subject", envelope.subject());
        put("time", envelope.time());
        put("datacontenttype", envelope.content_type());
        put("dataschema", envelope.schema());
        if let Some(key) = &self.key {
            match std::str::from_utf8(key) {
                Ok(text) if syntax::is_text(text) => put(PARTITION_KEY, Some(text)),
                _ => put(BINARY_KEY, Some(&STANDARD.encode(key))),
            }
        }
        for (name, value) in envelope.extensions() {
            let value = match value {
                Attribute::Text(text) => Value::from(text),
                Attribute::Integer(number) => number.into(),
                Attribute::Boolean(value) => value.into(),
            };
            attributes.insert(name.into(), value);
        }
        let form = Form {
            attributes,
            payload: envelope.data().map(|data| payload(envelope, data)),
        };
        // Maps with text keys and values that were JSON before always serialize.
        serde_json::to_vec(&form).unwrap_or_default()
    }
}
