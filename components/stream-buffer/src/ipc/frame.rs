//! The messages of a stream, cut apart: a length, a flatbuffer, a body.

use arrow_buffer::Buffer;
use arrow_ipc::root_as_message;

/// What stands in front of a length since format 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The longest flatbuffer, in bytes: some 2,000 columns.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// One message.
pub(super) struct Frame {
    /// Its flatbuffer.
    pub(super) message: Buffer,
    /// What it describes.
    pub(super) body: Buffer,
}

/// What is left of a stream.
pub(super) struct Frames {
    rest: Buffer,
}

impl Frames {
    pub(super) fn new(rest: Buffer) -> Self {
        Self { rest }
    }

    /// The next message; none at the end of the stream, which is either its end mark or the end of the bytes.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut length = self.word()?;
        if length == CONTINUATION {
            length = self.word()?;
        }
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            if !self.rest.is_empty() {
                return Err(format!("{} bytes follow the end of the stream", self.rest.len()));
            }
            return Ok(None);
        }
        if length > MESSAGE_BYTES_MAX {
            return Err(format!(
                "a message's metadata has {length} bytes; {MESSAGE_BYTES_MAX} are the most"
            ));
        }
        let message = self.take(length)?;
        let body = root_as_message(&message)
            .map_err(|error| format!("a message's metadata: {error}"))?
            .bodyLength();
        let body = usize::try_from(body).map_err(|_| format!("a message's body has {body} bytes"))?;
        Ok(Some(Frame {
            message,
            body: self.take(body)?,
        }))
    }

    fn word(&mut self) -> Result<[u8; 4], String> {
        let word = self.rest.first_chunk().copied().ok_or("it ends within a length")?;
        self.rest.advance(size_of_val(&word));
        Ok(word)
    }

    fn take(&mut self, length: usize) -> Result<Buffer, String> {
        if length > self.rest.len() {
            return Err(format!(
                "it ends {} bytes short of a message's end",
                length - self.rest.len()
            ));
        }
        let taken = self.rest.slice_with_length(0, length);
        self.rest.advance(length);
        Ok(taken)
    }
}
