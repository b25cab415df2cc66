//! From a descriptor to its bytes: hashed while they stream, bounded, gone on with where a connection broke, and never on a
//! disk.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kinetic_model::{Hashed, Hashing};
use tokio::time::Instant;

use crate::descriptor::at_most;
use crate::{Descriptor, Patience, RegistryError, Rest, Source};

/// At most so long it is waited after the first try that brought nothing.
const PAUSE: Duration = Duration::from_millis(100);
/// Room made before the first byte came: a promised size alone takes no more memory than this.
const FIRST_ROOM_BYTES: u64 = 1_048_576;
/// Tries in a row that may bring nothing that was not here before.
const FRUITLESS_MAX: u32 = 4;
/// How often a source may begin anew: one that cannot go on would be paid for again and again.
const RESTARTS_MAX: u32 = 3;

/// The slowest source accepted, over all tries together.
#[derive(Clone, Copy)]
struct Progress {
    window: Duration,
    bytes_min: u64,
    /// At most so long it is waited after the first try that brought nothing; twice as long after each further one.
    pause: Duration,
}

/// Downloads a component, of at most `bytes_max` bytes, and checks its size and digest.
///
/// It stops at the first byte beyond what the descriptor promises, and when the source delivers less than its [`Patience`]
/// asks for. Where the connection breaks it goes on from there, until four tries in a row have brought nothing new. Nothing
/// touches a disk.
///
/// # Errors
/// [`RegistryError::TooLarge`] before anything is downloaded, [`RegistryError::LongerThanPromised`],
/// [`RegistryError::Truncated`], [`RegistryError::DigestMismatch`], [`RegistryError::Stalled`], and the source's own.
pub async fn fetch(source: &dyn Source, descriptor: &Descriptor, bytes_max: u64) -> Result<Hashed, RegistryError> {
    let Patience {
        window,
        window_bytes_min,
        ..
    } = source.patience();
    let progress = Progress {
        window,
        bytes_min: window_bytes_min,
        pause: PAUSE,
    };
    fetch_at(source, descriptor, bytes_max, progress).await
}

async fn fetch_at(
    source: &dyn Source,
    descriptor: &Descriptor,
    bytes_max: u64,
    progress: Progress,
) -> Result<Hashed, RegistryError> {
    at_most("the component", descriptor.size_bytes, bytes_max)?;
    let mut fetching = Fetching::begin(source, descriptor, progress);
    let (mut most, mut fruitless) = (0, 0);
    loop {
        let Err(error) = fetching.go_on().await else {
            return fetching.checked();
        };
        fruitless = if fetching.here.len() > most { 0 } else { fruitless + 1 };
        most = most.max(fetching.here.len());
        if !error.is_away() || fruitless >= FRUITLESS_MAX || fetching.restarts > RESTARTS_MAX {
            return Err(error);
        }
        tracing::debug!(urn = %descriptor.urn, at_byte = fetching.here.len(), "the download broke and goes on: {error}");
        fetching.pause(fruitless).await?;
    }
}

/// A download over all its tries.
struct Fetching<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    progress: Progress,
    here: Hashing,
    tag: Option<String>,
    restarts: u32,
    window_ends: Instant,
    window_bytes: u64,
}

impl<'a> Fetching<'a> {
    fn begin(source: &'a dyn Source, descriptor: &'a Descriptor, progress: Progress) -> Self {
        let room = usize::try_from(descriptor.size_bytes.min(FIRST_ROOM_BYTES)).unwrap_or_default();
        Self {
            source,
            descriptor,
            progress,
            here: Hashing::with_room(room),
            tag: None,
            restarts: 0,
            window_ends: Instant::now() + progress.window,
            window_bytes: 0,
        }
    }

    fn origin(&self) -> String {
        self.source.name().to_string()
    }

    /// Asks for what is missing, and takes it in until the source has no more.
    async fn go_on(&mut self) -> Result<(), RegistryError> {
        let (source, descriptor) = (self.source, self.descriptor);
        let expected_bytes = descriptor.size_bytes;
        let rest = Rest {
            from_byte: self.here.len(),
            tag: self.tag.clone(),
        };
        let opened = self.while_enough_comes(source.download(descriptor, &rest)).await??;
        if opened.from_byte == 0 && !self.here.is_empty() {
            self.restarts += 1;
            if self.restarts > RESTARTS_MAX {
                return Err(RegistryError::Unreachable {
                    origin: self.origin(),
                    why: "the connection breaks, and it does not go on where it stopped".into(),
                });
            }
            self.here.clear();
        } else if opened.from_byte != self.here.len() {
            return Err(RegistryError::OtherThanAsked {
                origin: self.origin(),
                asked: format!("byte {} and all behind it", self.here.len()),
                found: format!("byte {}", opened.from_byte),
            });
        }
        self.tag = opened.tag;
        let mut stream = opened.bytes;
        loop {
            let next = self.while_enough_comes(stream.next()).await?;
            let chunk = match next {
                None => return Ok(()),
                Some(Ok(chunk)) => chunk,
                // All of it is here, so it does not matter how the connection ended.
                Some(Err(_)) if self.here.len() == expected_bytes => return Ok(()),
                Some(Err(error)) => return Err(error),
            };
            if self.here.len() + chunk.len() as u64 > expected_bytes {
                return Err(RegistryError::LongerThanPromised {
                    origin: self.origin(),
                    expected_bytes,
                });
            }
            self.window_bytes += chunk.len() as u64;
            self.here.push(&chunk);
        }
    }

    /// Waits for something of the source, as long as it delivers enough.
    async fn while_enough_comes<T>(&mut self, work: impl Future<Output = T> + Send) -> Result<T, RegistryError> {
        let mut work = pin!(work);
        loop {
            // Asked here and not only when waiting ends: a source that always has an empty chunk ready never waits.
            self.turn_window()?;
            if let Ok(done) = tokio::time::timeout_at(self.window_ends, work.as_mut()).await {
                return Ok(done);
            }
        }
    }

    fn turn_window(&mut self) -> Result<(), RegistryError> {
        if Instant::now() < self.window_ends {
            return Ok(());
        }
        if self.window_bytes < self.progress.bytes_min {
            return Err(RegistryError::Stalled {
                origin: self.origin(),
                bytes_min: self.progress.bytes_min,
                window_ms: u64::try_from(self.progress.window.as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.window_ends = Instant::now() + self.progress.window;
        self.window_bytes = 0;
        Ok(())
    }

    /// Waits before the next try: any time up to a bound, so that all whom one break hit do not come back at once.
    async fn pause(&mut self, fruitless: u32) -> Result<(), RegistryError> {
        let bound = self.progress.pause.saturating_mul(1 << fruitless.min(FRUITLESS_MAX));
        let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let random = RandomState::new().build_hasher().finish();
        let pause = Duration::from_micros(random % bound_us.saturating_add(1));
        self.while_enough_comes(tokio::time::sleep(pause)).await
    }

    /// All came that will come.
    fn checked(self) -> Result<Hashed, RegistryError> {
        let (origin, descriptor) = (self.origin(), self.descriptor);
        let found_bytes = self.here.len();
        if found_bytes != descriptor.size_bytes {
            return Err(RegistryError::Truncated {
                origin,
                expected_bytes: descriptor.size_bytes,
                found_bytes,
            });
        }
        let hashed = self.here.finish();
        if hashed.digest() != descriptor.digest {
            return Err(RegistryError::DigestMismatch {
                origin,
                expected: descriptor.digest.to_string(),
                found: hashed.digest().to_string(),
            });
        }
        Ok(hashed)
    }
}

#[cfg(test)]
mod tests;
