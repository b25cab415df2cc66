//! Reads server-sent events as a host writes them: one line of data a frame.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use crate::client;
use crate::error::CliError;

/// The media type of such a stream.
pub const MEDIA_TYPE: &str = "text/event-stream";
/// The longest a host that is there is silent: it says so three times as often.
const SILENCE: Duration = Duration::from_secs(35);
/// The largest frame read, in bytes: the largest value of a key (16 MiB) in JSON, where a control character takes six.
const FRAME_BYTES_MAX: usize = 97 << 20;

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// What kind it is; empty for the plain ones.
    pub name: String,
    /// Its place in the stream; empty when it has none.
    pub id: String,
    /// Its data.
    pub data: String,
}

/// A stream that is being read.
pub struct EventStream {
    url: String,
    response: Response,
    unread: Unread,
}

/// What has come and is not read yet.
#[derive(Default)]
struct Unread {
    bytes: Vec<u8>,
    /// Up to here there is no end of a frame.
    searched: usize,
}

impl EventStream {
    /// That of an answer.
    pub fn new(url: &str, response: Response) -> Self {
        Self {
            url: url.to_string(),
            response,
            unread: Unread::default(),
        }
    }

    /// The next frame; none when the stream is at its end.
    ///
    /// # Errors
    /// [`CliError::HostUnreachable`] when the host went away; [`CliError::BadAnswer`].
    pub async fn next(&mut self) -> Result<Option<Frame>, CliError> {
        loop {
            if let Some(frame) = self.unread.frame() {
                return Ok(Some(frame));
            }
            let chunk = timeout(SILENCE, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| CliError::HostUnreachable {
                url: self.url.clone(),
                why: "it fell silent".into(),
            })?;
            match chunk.map_err(|e| client::unreachable(&self.url, &e))? {
                None => return Ok(None),
                Some(chunk) => self.unread.bytes.extend_from_slice(&chunk),
            }
            if self.unread.bytes.len() > FRAME_BYTES_MAX {
                return Err(CliError::BadAnswer {
                    url: self.url.clone(),
                    why: format!("an event of more than {FRAME_BYTES_MAX} bytes"),
                });
            }
        }
    }
}

impl Unread {
    /// Takes the first frame that is there as a whole; signs of life are passed over.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            let rest = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") else {
                // The last byte may be the first half of an end.
                self.searched = self.bytes.len().saturating_sub(1);
                return None;
            };
            let whole: Vec<u8> = self.bytes.drain(..self.searched + end + 2).collect();
            self.searched = 0;
            let frame = read(&String::from_utf8_lossy(&whole));
            if !frame.data.is_empty() {
                return Some(frame);
            }
        }
    }
}

fn read(text: &str) -> Frame {
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found
            .map(|value| value.strip_prefix(' ').unwrap_or(value).to_string())
            .unwrap_or_default()
    };
    Frame {
        name: value("event"),
        id: value("id"),
        data: value("data"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_are_cut_and_signs_of_life_do_not() {
        let text = b"event: start\ndata: {}\n\n:\n\nid: 0/7\ndata: {\"a\":1}\n\nid: 0/8\nda";
        for cut in 0..text.len() {
            let mut unread = Unread::default();
            let mut frames = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                unread.bytes.extend_from_slice(part);
                while let Some(frame) = unread.frame() {
                    frames.push((frame.name, frame.id, frame.data));
                }
            }
            let expected = [("start", "", "{}"), ("", "0/7", "{\"a\":1}")];
            let expected = expected.map(|(name, id, data)| (name.to_string(), id.to_string(), data.to_string()));
            assert_eq!(frames, expected, "cut at {cut}");
        }
    }
}
