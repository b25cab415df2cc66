//! A stream's frames: a marker, the metadata's length, the metadata, the body.

use arrow_buffer::Buffer;
use arrow_ipc::{Message, MetadataVersion, root_as_message};

use crate::error::Error;

/// Stands before every message.
const CONTINUATION: u32 = u32::MAX;

/// One message: its metadata and its body.
pub(crate) struct Frame {
    metadata: Buffer,
    /// What the metadata's buffers lie in.
    pub(crate) body: Buffer,
}

impl Frame {
    /// The metadata, checked again, as the check is what makes it readable.
    pub(crate) fn message(&self) -> Result<Message<'_>, Error> {
        message(&self.metadata)
    }
}

fn bad<T>(text: &str) -> Result<T, Error> {
    Err(Error::BadBatch(format!("this is no Arrow IPC stream: {text}")))
}

fn message(metadata: &[u8]) -> Result<Message<'_>, Error> {
    match root_as_message(metadata) {
        Ok(message) if matches!(message.version(), MetadataVersion::V4 | MetadataVersion::V5) => Ok(message),
        Ok(message) => bad(&format!(
            "the metadata has {:?}; V4 and V5 are right",
            message.version()
        )),
        Err(error) => bad(&format!("a message's metadata is damaged ({error})")),
    }
}

/// Takes the first four bytes.
fn word(rest: &mut Buffer) -> Option<u32> {
    let word = u32::from_le_bytes(*rest.first_chunk()?);
    rest.advance(size_of::<u32>());
    Some(word)
}

/// Takes this many bytes.
fn part(rest: &mut Buffer, bytes: usize) -> Option<Buffer> {
    if bytes > rest.len() {
        return None;
    }
    let part = rest.slice_with_length(0, bytes);
    rest.advance(bytes);
    Some(part)
}

/// The next message, without copying it; none at the end.
pub(crate) fn next(rest: &mut Buffer) -> Result<Option<Frame>, Error> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (Some(marker), Some(length)) = (word(rest), word(rest)) else {
        return bad("it breaks off in front of a message");
    };
    if marker != CONTINUATION {
        return bad("a message does not begin with the marker");
    }
    if length == 0 {
        return if rest.is_empty() {
            Ok(None)
        } else {
            bad("there are bytes behind its end")
        };
    }
    let Some(metadata) = part(rest, length as usize) else {
        return bad("it breaks off inside a message's metadata");
    };
    let body_bytes = usize::try_from(message(&metadata)?.bodyLength()).ok();
    match body_bytes.and_then(|bytes| part(rest, bytes)) {
        Some(body) => Ok(Some(Frame { metadata, body })),
        None => bad("it breaks off inside a message's body"),
    }
}
