//! One message on the socket between host and worker, of bounded size.
//!
//! Two lengths (u32, little endian), a head and a body. The body is what is large and goes as it is: compiled code, bytes
//! for a function, bytes it returned.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The largest frame to a worker, in bytes: compiled code is the largest thing there is.
pub(crate) const TO_WORKER_BYTES_MAX: u64 = 512 << 20;
/// The largest frame from a worker, in bytes: results, logs and tape of one call at their ceilings, as they are written here.
pub(crate) const FROM_WORKER_BYTES_MAX: u64 = 256 << 20;

/// One message as it goes over the socket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// What kind of message it is, and all that is small.
    pub(crate) head: Vec<u8>,
    /// What is large.
    pub(crate) body: Bytes,
}

impl Frame {
    /// How large it is, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.head.len() as u64).saturating_add(self.body.len() as u64)
    }

    /// Sends it.
    ///
    /// # Errors
    /// A socket that is closed.
    pub(crate) async fn send(&self, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(std::io::Error::other);
        let mut start = Vec::with_capacity(8 + self.head.len());
        start.extend_from_slice(&length(&self.head)?.to_le_bytes());
        start.extend_from_slice(&length(&self.body)?.to_le_bytes());
        start.extend_from_slice(&self.head);
        to.write_all(&start).await?;
        to.write_all(&self.body).await?;
        to.flush().await
    }

    /// Receives one; none when the socket was closed before it.
    ///
    /// # Errors
    /// A frame that is larger than allowed or cut short. Memory is taken as bytes come, not as lengths promise.
    pub(crate) async fn receive(from: &mut (impl AsyncRead + Unpin), bytes_max: u64) -> std::io::Result<Option<Self>> {
        let mut lengths = [[0_u8; 4]; 2];
        if let Err(error) = from.read_exact(lengths.as_flattened_mut()).await {
            return match error.kind() {
                std::io::ErrorKind::UnexpectedEof => Ok(None),
                _ => Err(error),
            };
        }
        let [head, body] = lengths.map(u32::from_le_bytes);
        if u64::from(head) + u64::from(body) > bytes_max {
            return Err(std::io::Error::other("it sent more than is taken"));
        }
        let head = exactly(from, head).await?;
        let body = exactly(from, body).await?.into();
        Ok(Some(Self { head, body }))
    }
}

async fn exactly(from: &mut (impl AsyncRead + Unpin), count: u32) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(count.into()).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 != u64::from(count) {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_crosses_a_socket_and_one_that_is_too_large_is_refused() {
        let (mut here, mut there) = tokio::net::UnixStream::pair().unwrap();
        let frame = Frame {
            head: vec![1, 2, 3],
            body: Bytes::from_static(b"body"),
        };
        frame.send(&mut here).await.unwrap();
        let got = Frame::receive(&mut there, 100).await.unwrap().unwrap();
        assert_eq!((got.head, got.body), (frame.head.clone(), frame.body.clone()));
        frame.send(&mut here).await.unwrap();
        assert!(Frame::receive(&mut there, frame.bytes() - 1).await.is_err());
        let (mut here, mut there) = tokio::net::UnixStream::pair().unwrap();
        here.write_all(&[200, 0, 0, 0, 0, 0, 0, 0, 1]).await.unwrap();
        drop(here);
        assert!(Frame::receive(&mut there, 1_000).await.is_err(), "cut short");
        let (here, mut there) = tokio::net::UnixStream::pair().unwrap();
        drop(here);
        assert!(Frame::receive(&mut there, 1_000).await.unwrap().is_none());
    }
}
