//! A store of objects that are written once: behind OpenDAL, with writes that only one of several writers can win.
//!
//! S3 has conditional writes. A folder has none through OpenDAL that are also whole after a crash, so there the file is
//! written beside its place and then linked into it, which fails where one is.

mod address;
mod disk;

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use opendal::{ErrorKind, Operator};
use tokio::time::timeout;

pub use self::address::StoreAddress;
use crate::ServerError;
use crate::error::tame;

/// In a folder: files being written.
const TEMPORARY: &str = "tmp";
/// How much of a file is read at once, in bytes; of S3 as much as comes.
const CHUNK_BYTES: usize = 262_144;

/// Bytes of an object as they come.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What became of an object that is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was not there.
    Stored,
    /// It was there with just these bytes.
    Same,
    /// Something else is there, and stays.
    Different,
}

/// Objects by path. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    operator: Operator,
    /// The folder itself, where the store is one.
    folder: Option<PathBuf>,
    /// For one question.
    timeout: Duration,
}

impl Store {
    pub(crate) const fn new(operator: Operator, folder: Option<PathBuf>, timeout: Duration) -> Self {
        Self {
            operator,
            folder,
            timeout,
        }
    }

    /// Writes an object that is never changed: of several that write at once one is [`Put::Stored`], whole, and the others
    /// learn whether it is the same.
    pub(crate) async fn put_once(&self, path: &str, bytes: Bytes) -> Result<Put, ServerError> {
        if self.write_new(path, bytes.clone()).await? {
            return Ok(Put::Stored);
        }
        // One more than there should be: a longer one is another one.
        match self.read(path, bytes.len() as u64 + 1).await {
            Ok(Some(there)) if there == bytes => Ok(Put::Same),
            Ok(Some(_)) | Err(ServerError::StoreDamaged { .. }) => Ok(Put::Different),
            // A writer that was there a moment ago gave up: as with S3, where two at once may both be told to try again.
            Ok(None) => Err(failed("write", &format!("{path} is being written by somebody else"))),
            Err(error) => Err(error),
        }
    }

    async fn write_new(&self, path: &str, bytes: Bytes) -> Result<bool, ServerError> {
        if let Some(folder) = &self.folder {
            let (folder, path) = (folder.clone(), path.to_string());
            return on_disk(move || disk::write_new(&folder, &path, &bytes)).await;
        }
        let writing = self.operator.write_with(path, bytes).if_not_exists(true);
        match self.patient("write", async { writing.await.map(drop) }).await? {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists | ErrorKind::Conflict
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed("write", &error)),
        }
    }

    /// Writes an object, whatever is there.
    pub(crate) async fn replace(&self, path: &str, bytes: Bytes) -> Result<(), ServerError> {
        if let Some(folder) = &self.folder {
            let (folder, path) = (folder.clone(), path.to_string());
            return on_disk(move || disk::replace(&folder, &path, &bytes)).await;
        }
        let writing = self.operator.write(path, bytes);
        self.patient("write", writing)
            .await?
            .map(drop)
            .map_err(|error| failed("write", &error))
    }

    /// An object of at most `bytes_max` bytes; none when there is none.
    pub(crate) async fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Bytes>, ServerError> {
        let reading = async {
            let Some(size) = self.size(path).await? else {
                return Ok(None);
            };
            if size > bytes_max {
                return Err(ServerError::StoreDamaged {
                    path: path.into(),
                    why: format!("it has {size} bytes, of at most {bytes_max}"),
                });
            }
            if size == 0 {
                return Ok(Some(Bytes::new()));
            }
            let mut chunks = self.stream(path, 0, size).await?;
            let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
            while let Some(chunk) = chunks.next().await {
                bytes.extend_from_slice(&chunk.map_err(|error| failed("read", &error))?);
            }
            Ok::<_, ServerError>(Some(bytes.freeze()))
        };
        self.patient("read", reading).await?
    }

    /// How large an object is; none when there is none.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>, ServerError> {
        match self.patient("be asked", self.operator.stat(path)).await? {
            Ok(found) => Ok(Some(found.content_length())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("be asked", &error)),
        }
    }

    /// The bytes of an object from one to before another, as they come: little of it is held at a time.
    pub(crate) async fn stream(&self, path: &str, from: u64, to: u64) -> Result<Chunks, ServerError> {
        let mut opening = self.operator.reader_with(path);
        if self.folder.is_some() {
            opening = opening.chunk(CHUNK_BYTES);
        }
        let opened = async { opening.await?.into_bytes_stream(from..to).await };
        let chunks = self.patient("read", opened).await?;
        let chunks = chunks.map_err(|error| failed("read", &error))?;
        let patience = self.timeout;
        let chunks = futures_util::stream::try_unfold(chunks, move |mut chunks| async move {
            let next = timeout(patience, chunks.try_next()).await;
            let next = next.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the store does not go on"))??;
            Ok::<_, io::Error>(next.map(|chunk| (chunk, chunks)))
        });
        Ok(Box::pin(chunks))
    }

    /// The paths of every object below a prefix that ends in a slash.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, ServerError> {
        let opening = async { self.operator.lister_with(prefix).recursive(true).await };
        let mut listing = match self.patient("list", opening).await? {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &error)),
        };
        let mut paths = Vec::new();
        // Each page is a question of its own.
        while let Some(entry) = self
            .patient("list", listing.try_next())
            .await?
            .map_err(|error| failed("list", &error))?
        {
            if entry.metadata().is_file() {
                paths.push(entry.path().to_string());
            }
        }
        paths.sort_unstable();
        Ok(paths)
    }

    /// The names of what lies one step below a prefix that ends in a slash, and has more below it.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>, ServerError> {
        let listed = match self.patient("list", self.operator.list(prefix)).await? {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &error)),
        };
        let below = listed
            .iter()
            .filter_map(|entry| entry.path().strip_prefix(prefix)?.strip_suffix('/'));
        Ok(below.filter(|name| !name.is_empty()).map(ToString::to_string).collect())
    }

    async fn patient<T>(&self, what: &str, work: impl Future<Output = T>) -> Result<T, ServerError> {
        timeout(self.timeout, work)
            .await
            .map_err(|_| failed(what, &format!("no answer in {} ms", self.timeout.as_millis())))
    }
}

/// Work on files goes on to its end, even when nobody waits any more.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, ServerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failed("write", &error))?
        .map_err(|error| failed("write", &error))
}

fn failed(what: &str, error: &impl Display) -> ServerError {
    ServerError::StoreFailed {
        what: what.into(),
        why: tame(&error.to_string()),
    }
}

#[cfg(test)]
mod tests;
