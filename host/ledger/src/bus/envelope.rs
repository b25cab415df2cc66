//! The envelope of an event: CloudEvents 1.0 attributes and the data, valid by construction and cheap to share.

use std::borrow::Cow;

use bytes::Bytes;

use super::builder::EnvelopeBuilder;
use super::syntax;
use crate::LedgerError;
use crate::wire::{Wire, malformed};

/// The longest data of an event, in bytes.
pub const DATA_BYTES_MAX: u64 = 4 << 20;
/// The longest attribute of an event, in bytes.
pub const ATTRIBUTE_BYTES_MAX: u64 = 2048;
/// The most extension attributes a publisher may give an event.
pub const EXTENSIONS_MAX: usize = 32;

/// What the bus adds to dead letters goes beyond what publishers may.
pub(super) const EXTENSIONS_FORMAT_MAX: usize = 40;
pub(super) const FORMAT: u8 = 1;

/// The extension that names the event this one was caused by.
pub(super) const CAUSATION: &str = "causationid";
/// The extension of the distributed tracing specification.
pub(super) const TRACEPARENT: &str = "traceparent";
/// The extension by which a receiver outside can tell a repetition.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotencykey";
/// The extension of the partitioning specification: an event's key, when it is text.
pub(super) const PARTITION_KEY: &str = "partitionkey";
/// An event's key, when it is not text: base64.
pub(super) const BINARY_KEY: &str = "kinetickey";

/// Names that no extension can have.
const RESERVED: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    PARTITION_KEY,
    BINARY_KEY,
];

/// The value of an extension attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// A text; also of times and URIs.
    Text(Cow<'a, str>),
    /// A number of 32 bits.
    Integer(i32),
    /// True or false.
    Boolean(bool),
}

impl<'a> From<&'a str> for Attribute<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Attribute<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Attribute<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i32> for Attribute<'_> {
    fn from(number: i32) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Attribute<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

/// Where a part lies in the encoded envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// The attributes of an event and its data. What exists is valid; cloning shares the bytes.
///
/// It holds its encoded form, so that storing an event is a copy and reading one copies nothing.
#[derive(Clone)]
pub struct Envelope {
    bytes: Bytes,
    id: Span,
    source: Span,
    kind: Span,
    subject: Option<Span>,
    time: Option<Span>,
    content_type: Option<Span>,
    schema: Option<Span>,
    extensions: Span,
    data: Option<Span>,
}

impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Envelope {}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id())
            .field("source", &self.source())
            .field("type", &self.kind())
            .field("data_bytes", &self.data().map_or(0, <[u8]>::len))
            .finish_non_exhaustive()
    }
}

impl Envelope {
    /// Begins an envelope: `id` is unique among the events of `source` (a URI reference), `kind` is CloudEvents' `type`.
    pub fn builder<'a>(
        id: impl Into<Cow<'a, str>>,
        source: impl Into<Cow<'a, str>>,
        kind: impl Into<Cow<'a, str>>,
    ) -> EnvelopeBuilder<'a> {
        EnvelopeBuilder::new(id.into(), source.into(), kind.into())
    }

    /// CloudEvents' `id`.
    pub fn id(&self) -> &str {
        self.text(self.id)
    }

    /// CloudEvents' `source`: a URI reference.
    pub fn source(&self) -> &str {
        self.text(self.source)
    }

    /// CloudEvents' `type`.
    pub fn kind(&self) -> &str {
        self.text(self.kind)
    }

    /// CloudEvents' `subject`.
    pub fn subject(&self) -> Option<&str> {
        self.subject.map(|span| self.text(span))
    }

    /// CloudEvents' `time`: RFC 3339, as the publisher gave it.
    pub fn time(&self) -> Option<&str> {
        self.time.map(|span| self.text(span))
    }

    /// CloudEvents' `datacontenttype`; none means JSON.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.map(|span| self.text(span))
    }

    /// CloudEvents' `dataschema`: a URI.
    pub fn schema(&self) -> Option<&str> {
        self.schema.map(|span| self.text(span))
    }

    /// The data, if there is any.
    pub fn data(&self) -> Option<&[u8]> {
        self.data.map(|span| self.slice(span))
    }

    /// The data, shared.
    pub fn data_bytes(&self) -> Option<Bytes> {
        self.data().map(|data| self.bytes.slice_ref(data))
    }

    /// What the event was caused by: the `causationid` extension.
    pub fn causation(&self) -> Option<Cow<'_, str>> {
        self.text_extension(CAUSATION)
    }

    /// The trace it belongs to: the `traceparent` extension.
    pub fn traceparent(&self) -> Option<Cow<'_, str>> {
        self.text_extension(TRACEPARENT)
    }

    /// By what a receiver outside can tell a repetition: the `idempotencykey` extension.
    pub fn idempotency_key(&self) -> Option<Cow<'_, str>> {
        self.text_extension(IDEMPOTENCY_KEY)
    }

    /// The extension attributes by name.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, Attribute<'_>)> {
        let mut wire = Wire::new(self.slice(self.extensions));
        std::iter::from_fn(move || {
            if wire.is_empty() {
                None
            } else {
                extension(&mut wire).ok()
            }
        })
    }

    /// The encoded form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same in bytes of its own, so that it does not keep a whole record in memory.
    pub(super) fn detached(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
            ..self.clone()
        }
    }

    /// Reads an encoded envelope, sharing the bytes.
    ///
    /// # Errors
    /// `Malformed` when it is not one; `InvalidEvent` when an attribute is not of its form.
    pub fn decode(bytes: &Bytes) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(bytes);
        let total = bytes.len();
        if total as u64 > ENCODED_BYTES_MAX {
            return Err(malformed("an envelope is too long"));
        }
        if wire.u8()? != FORMAT {
            return Err(malformed("an envelope has a form this version does not know"));
        }
        // The part that was read last ends where the rest begins.
        let span = |wire: &Wire<'_>, part: &[u8]| {
            let end = total - wire.remaining().len();
            Span {
                start: u32::try_from(end - part.len()).unwrap_or_default(),
                end: u32::try_from(end).unwrap_or_default(),
            }
        };
        let mut required = || wire.bytes().map(|part| span(&wire, part));
        let (id, source, kind) = (required()?, required()?, required()?);
        let mut optional = || Ok::<_, LedgerError>(wire.option()?.map(|part| span(&wire, part)));
        let (subject, time, content_type, schema) = (optional()?, optional()?, optional()?, optional()?);
        let part = wire.bytes()?;
        let extensions = span(&wire, part);
        let data = wire.option()?.map(|part| span(&wire, part));
        wire.end()?;
        let envelope = Self {
            bytes: bytes.clone(),
            id,
            source,
            kind,
            subject,
            time,
            content_type,
            schema,
            extensions,
            data,
        };
        envelope.check(EXTENSIONS_FORMAT_MAX)?;
        Ok(envelope)
    }

    fn check(&self, extensions_max: usize) -> Result<(), LedgerError> {
        for (name, span) in [("id", self.id), ("source", self.source), ("type", self.kind)] {
            let text = self.checked(name, span)?;
            if text.is_empty() {
                return Err(invalid(format!("its {name} is empty")));
            }
        }
        let has_form = |name: &str, span: Option<Span>, form: fn(&str) -> bool, what: &str| match span {
            Some(span) if !form(self.checked(name, span)?) => Err(invalid(format!("its {name} is not {what}"))),
            _ => Ok(()),
        };
        has_form("source", Some(self.source), syntax::is_uri_reference, "a URI reference")?;
        has_form(
            "subject",
            self.subject,
            |text| !text.is_empty(),
            "a text with something in it",
        )?;
        has_form("time", self.time, syntax::is_timestamp, "a timestamp of RFC 3339")?;
        has_form(
            "datacontenttype",
            self.content_type,
            syntax::is_media_type,
            "a media type",
        )?;
        has_form("dataschema", self.schema, syntax::is_uri, "a URI")?;
        self.check_extensions(extensions_max)?;
        let bytes = self.data().map_or(0, |data| data.len() as u64);
        within("the event's data", bytes, DATA_BYTES_MAX)
    }

    pub(super) fn check_extensions(&self, extensions_max: usize) -> Result<(), LedgerError> {
        let mut wire = Wire::new(self.slice(self.extensions));
        let mut before = "";
        let mut count = 0;
        while !wire.is_empty() {
            let (name, value) = extension(&mut wire)?;
            if !syntax::is_name(name) || RESERVED.contains(&name) {
                let name: String = name.chars().take(40).collect();
                return Err(invalid(format!(
                    "\"{name}\" cannot be the name of an extension: 1 to 20 lower-case letters and digits, not one of CloudEvents' own"
                )));
            }
            if name <= before {
                return Err(malformed("the extensions of an envelope are not in order"));
            }
            if let Attribute::Text(text) = &value {
                within("an extension of the event", text.len() as u64, ATTRIBUTE_BYTES_MAX)?;
                if !syntax::is_text(text) {
                    return Err(invalid(format!("its {name} has characters that no text may have")));
                }
            }
            before = name;
            count += 1;
        }
        if count > extensions_max {
            return Err(LedgerError::TooMany {
                what: "extensions of an event".into(),
                max: extensions_max as u64,
            });
        }
        Ok(())
    }

    /// A part as text, if it may be the text of an attribute.
    fn checked(&self, name: &str, span: Span) -> Result<&str, LedgerError> {
        let bytes = self.slice(span);
        within("an attribute of the event", bytes.len() as u64, ATTRIBUTE_BYTES_MAX)?;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("an attribute is not UTF-8"))?;
        if syntax::is_text(text) {
            Ok(text)
        } else {
            Err(invalid(format!("its {name} has characters that no text may have")))
        }
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.slice(span)).unwrap_or_default()
    }

    fn text_extension(&self, wanted: &str) -> Option<Cow<'_, str>> {
        self.extensions().find_map(|(name, value)| match value {
            Attribute::Text(text) if name == wanted => Some(text),
            _ => None,
        })
    }
}

/// The longest encoded envelope: all attributes and the data at their limits.
pub(super) const ENCODED_BYTES_MAX: u64 =
    DATA_BYTES_MAX + (EXTENSIONS_FORMAT_MAX as u64 + 9) * (ATTRIBUTE_BYTES_MAX + 64);

pub(super) const TEXT: u8 = 0;
pub(super) const INTEGER: u8 = 1;
pub(super) const FALSE: u8 = 2;
pub(super) const TRUE: u8 = 3;

fn extension<'a>(wire: &mut Wire<'a>) -> Result<(&'a str, Attribute<'a>), LedgerError> {
    let name = wire.text()?;
    let value = match wire.u8()? {
        TEXT => Attribute::Text(wire.text()?.into()),
        INTEGER => {
            let bytes = wire
                .take(4)?
                .try_into()
                .map_err(|_| malformed("a number is too short"))?;
            Attribute::Integer(i32::from_be_bytes(bytes))
        }
        FALSE => Attribute::Boolean(false),
        TRUE => Attribute::Boolean(true),
        _ => return Err(malformed("an extension has a type this version does not know")),
    };
    Ok((name, value))
}

pub(super) fn invalid(why: impl Into<String>) -> LedgerError {
    LedgerError::InvalidEvent { why: why.into() }
}

pub(super) fn within(what: &str, bytes: u64, bytes_max: u64) -> Result<(), LedgerError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(LedgerError::EventTooLarge {
        what: what.into(),
        bytes,
        bytes_max,
    })
}
