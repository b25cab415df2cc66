//! Makes envelopes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::envelope::{
    Attribute, CAUSATION, DATA_BYTES_MAX, ENCODED_BYTES_MAX, EXTENSIONS_FORMAT_MAX, EXTENSIONS_MAX, Envelope, FALSE,
    FORMAT, IDEMPOTENCY_KEY, INTEGER, TEXT, TRACEPARENT, TRUE, within,
};
use crate::LedgerError;
use crate::wire::{put_bytes, put_option};

/// Makes an [`Envelope`]. All but id, source and type is optional.
#[derive(Clone, Debug)]
pub struct EnvelopeBuilder<'a> {
    id: Cow<'a, str>,
    source: Cow<'a, str>,
    kind: Cow<'a, str>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    schema: Option<Cow<'a, str>>,
    extensions: BTreeMap<Cow<'a, str>, Attribute<'a>>,
    data: Option<Cow<'a, [u8]>>,
}

impl<'a> EnvelopeBuilder<'a> {
    pub(super) const fn new(id: Cow<'a, str>, source: Cow<'a, str>, kind: Cow<'a, str>) -> Self {
        Self {
            id,
            source,
            kind,
            subject: None,
            time: None,
            content_type: None,
            schema: None,
            extensions: BTreeMap::new(),
            data: None,
        }
    }

    /// Begins with all attributes and the data of an envelope.
    pub(super) fn of(envelope: &'a Envelope) -> Self {
        Self {
            id: envelope.id().into(),
            source: envelope.source().into(),
            kind: envelope.kind().into(),
            subject: envelope.subject().map(Into::into),
            time: envelope.time().map(Into::into),
            content_type: envelope.content_type().map(Into::into),
            schema: envelope.schema().map(Into::into),
            extensions: envelope
                .extensions()
                .map(|(name, value)| (name.into(), value))
                .collect(),
            data: envelope.data().map(Into::into),
        }
    }

    /// Sets `subject`: what of the source the event is about.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<Cow<'a, str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets `time`: when it happened, in the form of RFC 3339.
    #[must_use]
    pub fn time(mut self, time: impl Into<Cow<'a, str>>) -> Self {
        self.time = Some(time.into());
        self
    }

    /// Sets `datacontenttype`; without it the data is JSON.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Cow<'a, str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets `dataschema`: a URI.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<Cow<'a, str>>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Sets the `causationid` extension: the id of the event that caused this one.
    #[must_use]
    pub fn causation(self, id: impl Into<Cow<'a, str>>) -> Self {
        self.extension(CAUSATION, id.into())
    }

    /// Sets the `traceparent` extension (W3C Trace Context).
    #[must_use]
    pub fn traceparent(self, traceparent: impl Into<Cow<'a, str>>) -> Self {
        self.extension(TRACEPARENT, traceparent.into())
    }

    /// Sets the `idempotencykey` extension. The bus carries it; it does not look for repetitions itself.
    #[must_use]
    pub fn idempotency_key(self, key: impl Into<Cow<'a, str>>) -> Self {
        self.extension(IDEMPOTENCY_KEY, key.into())
    }

    /// Sets an extension attribute.
    #[must_use]
    pub fn extension(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Attribute<'a>>) -> Self {
        self.extensions.insert(name.into(), value.into());
        self
    }

    /// Sets the data.
    #[must_use]
    pub fn data(mut self, data: impl Into<Cow<'a, [u8]>>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// The envelope.
    ///
    /// # Errors
    /// `InvalidEvent` when an attribute is not of its form; `EventTooLarge`; `TooMany` extensions.
    pub fn build(self) -> Result<Envelope, LedgerError> {
        self.build_within(EXTENSIONS_MAX)
    }

    /// As `build`, with what the bus itself adds.
    pub(super) fn build_extended(self) -> Result<Envelope, LedgerError> {
        self.build_within(EXTENSIONS_FORMAT_MAX)
    }

    fn build_within(self, extensions_max: usize) -> Result<Envelope, LedgerError> {
        let data = self.data.as_deref();
        within(
            "the event's data",
            data.map_or(0, |data| data.len() as u64),
            DATA_BYTES_MAX,
        )?;
        let mut extensions = Vec::new();
        for (name, value) in &self.extensions {
            put_bytes(&mut extensions, name.as_bytes());
            match value {
                Attribute::Text(text) => {
                    extensions.push(TEXT);
                    put_bytes(&mut extensions, text.as_bytes());
                }
                Attribute::Integer(number) => {
                    extensions.push(INTEGER);
                    extensions.extend_from_slice(&number.to_be_bytes());
                }
                Attribute::Boolean(value) => extensions.push(if *value { TRUE } else { FALSE }),
            }
        }
        let optional = [&self.subject, &self.time, &self.content_type, &self.schema];
        let texts = optional
            .iter()
            .map(|text| text.as_deref().map_or(0, str::len))
            .sum::<usize>();
        let texts = texts + self.id.len() + self.source.len() + self.kind.len();
        within(
            "what describes the event",
            (texts + extensions.len()) as u64,
            ENCODED_BYTES_MAX - DATA_BYTES_MAX,
        )?;
        let mut bytes = Vec::with_capacity(64 + texts + extensions.len() + data.map_or(0, <[u8]>::len));
        bytes.push(FORMAT);
        for text in [&self.id, &self.source, &self.kind] {
            put_bytes(&mut bytes, text.as_bytes());
        }
        for text in optional {
            put_option(&mut bytes, text.as_deref().map(str::as_bytes));
        }
        put_bytes(&mut bytes, &extensions);
        put_option(&mut bytes, data);
        let envelope = Envelope::decode(&bytes.into())?;
        envelope.check_extensions(extensions_max)?;
        Ok(envelope)
    }
}
