//! What a guest writes to standard output and standard error: kept up to a limit, the rest counted and dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::host_bytes::HostBytes;

/// What one call logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// Bytes beyond `log_bytes` that were dropped.
    pub dropped_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LogBuffer {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    written_bytes: u64,
    bytes_max: u64,
}

/// Both streams of one call share a buffer and its limit.
pub(crate) type SharedLogs = Arc<Mutex<LogBuffer>>;

impl LogBuffer {
    pub(crate) fn shared(bytes_max: u64) -> SharedLogs {
        Arc::new(Mutex::new(Self {
            bytes_max,
            ..Self::default()
        }))
    }

    fn write(&mut self, to_stderr: bool, bytes: &[u8]) {
        let kept_bytes = (self.stdout.len() + self.stderr.len()) as u64;
        let room = usize::try_from(self.bytes_max.saturating_sub(kept_bytes)).unwrap_or(usize::MAX);
        let target = if to_stderr { &mut self.stderr } else { &mut self.stdout };
        target.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.written_bytes += bytes.len() as u64;
    }

    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// What was written before is not this call's.
    pub(crate) fn begin_call(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
        self.take();
        self.written_bytes = 0;
    }

    pub(crate) fn take(&mut self) -> Logs {
        let kept_bytes = (self.stdout.len() + self.stderr.len()) as u64;
        let text = |bytes: &mut Vec<u8>| String::from_utf8_lossy(&std::mem::take(bytes)).into_owned();
        Logs {
            stdout: text(&mut self.stdout),
            stderr: text(&mut self.stderr),
            dropped_bytes: self.written_bytes - kept_bytes,
        }
    }
}

/// One of the two streams.
#[derive(Clone)]
pub(crate) struct LogStream {
    pub(crate) logs: SharedLogs,
    pub(crate) host_bytes: Arc<HostBytes>,
    pub(crate) to_stderr: bool,
}

/// What a guest is told it may write at once. Small, so that one write cannot make the host allocate much.
const PERMIT_BYTES: usize = 64 * 1024;

#[async_trait::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.host_bytes
            .spend(bytes.len())
            .map_err(|e| StreamError::Trap(e.into()))?;
        self.logs.lock().write(self.to_stderr, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.host_bytes.spend(bytes.len()).map_err(std::io::Error::other)?;
        self.logs.lock().write(self.to_stderr, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_share_the_limit_and_the_rest_is_counted() {
        let logs = LogBuffer::shared(10);
        logs.lock().write(false, b"12345678");
        logs.lock().write(true, b"abcdef");
        logs.lock().write(false, b"more");
        let taken = logs.lock().take();
        assert_eq!(
            (taken.stdout.as_str(), taken.stderr.as_str(), taken.dropped_bytes),
            ("12345678", "ab", 8)
        );
    }
}
