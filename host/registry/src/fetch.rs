//! From a descriptor to its bytes: hashed while they stream, bounded, and never on a disk.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use kinetic_model::Digest;
use sha2::Digest as _;
use tokio::time::Instant;

use crate::descriptor::at_most;
use crate::{Descriptor, RegistryError, Source};

/// A source must deliver this much in each window, or end; about 1.6 KiB/s.
const PROGRESS: Progress = Progress {
    window: Duration::from_secs(10),
    bytes_min: 16_384,
};
/// Room made before the first byte came: a promised size alone takes no more memory than this.
const FIRST_ROOM_BYTES: u64 = 1_048_576;

/// The slowest source accepted.
#[derive(Clone, Copy)]
struct Progress {
    window: Duration,
    bytes_min: u64,
}

/// Downloads a component, of at most `bytes_max` bytes, and checks its size and digest.
///
/// It stops at the first byte beyond what the descriptor promises, and when the source delivers less than 16 KiB in ten
/// seconds. Nothing touches a disk.
///
/// # Errors
/// [`RegistryError::TooLarge`] before anything is downloaded, [`RegistryError::LongerThanPromised`],
/// [`RegistryError::Truncated`], [`RegistryError::DigestMismatch`], [`RegistryError::Stalled`], and the source's own.
pub async fn fetch(source: &dyn Source, descriptor: &Descriptor, bytes_max: u64) -> Result<Bytes, RegistryError> {
    fetch_at(source, descriptor, bytes_max, PROGRESS).await
}

async fn fetch_at(
    source: &dyn Source,
    descriptor: &Descriptor,
    bytes_max: u64,
    progress: Progress,
) -> Result<Bytes, RegistryError> {
    let expected_bytes = descriptor.size_bytes;
    at_most("the component", expected_bytes, bytes_max)?;
    let origin = || source.name().to_string();
    let stalled = || RegistryError::Stalled {
        origin: origin(),
        bytes_min: progress.bytes_min,
        window_ms: u64::try_from(progress.window.as_millis()).unwrap_or(u64::MAX),
    };

    let mut window_ends = Instant::now() + progress.window;
    let opened = tokio::time::timeout_at(window_ends, source.download(descriptor)).await;
    let mut stream = opened.map_err(|_| stalled())??;
    let mut bytes = BytesMut::with_capacity(usize::try_from(expected_bytes.min(FIRST_ROOM_BYTES)).unwrap_or_default());
    let mut hash = sha2::Sha256::new();
    let mut window_bytes = 0;
    loop {
        // Asked here and not only when waiting ends: a source that always has an empty chunk ready never waits.
        if Instant::now() >= window_ends {
            if window_bytes < progress.bytes_min {
                return Err(stalled());
            }
            (window_ends, window_bytes) = (Instant::now() + progress.window, 0);
        }
        let Ok(next) = tokio::time::timeout_at(window_ends, stream.next()).await else {
            continue;
        };
        let Some(chunk) = next else { break };
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > expected_bytes {
            return Err(RegistryError::LongerThanPromised {
                origin: origin(),
                expected_bytes,
            });
        }
        window_bytes += chunk.len() as u64;
        hash.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }

    let found_bytes = bytes.len() as u64;
    if found_bytes != expected_bytes {
        return Err(RegistryError::Truncated {
            origin: origin(),
            expected_bytes,
            found_bytes,
        });
    }
    let found = Digest::from_bytes(hash.finalize().into());
    if found != descriptor.digest {
        let (expected, found) = (descriptor.digest.to_string(), found.to_string());
        return Err(RegistryError::DigestMismatch {
            origin: origin(),
            expected,
            found,
        });
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::stream;
    use kinetic_model::CapsuleRef;

    use super::*;
    use crate::store::tests::descriptor;
    use crate::{ByteStream, Summary};

    /// Delivers chunks, each after a pause, for ever when told so.
    struct Scripted {
        chunks: Vec<Bytes>,
        pause: Duration,
        for_ever: bool,
    }

    #[async_trait]
    impl Source for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }
        async fn describe(&self, _: &CapsuleRef) -> Result<Descriptor, RegistryError> {
            unreachable!("fetch never describes")
        }
        async fn download(&self, _: &Descriptor) -> Result<ByteStream, RegistryError> {
            let pause = self.pause;
            let chunks = self.chunks.clone().into_iter();
            let chunks: Box<dyn Iterator<Item = Bytes> + Send> = if self.for_ever {
                Box::new(chunks.cycle())
            } else {
                Box::new(chunks)
            };
            Ok(Box::pin(stream::iter(chunks).then(move |chunk| async move {
                tokio::time::sleep(pause).await;
                Ok(chunk)
            })))
        }
        async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
            unreachable!("fetch never lists")
        }
    }

    fn quick(chunks: &[&'static [u8]]) -> Scripted {
        let chunks = chunks.iter().map(|chunk| Bytes::from_static(chunk)).collect();
        Scripted {
            chunks,
            pause: Duration::ZERO,
            for_ever: false,
        }
    }

    #[tokio::test]
    async fn whole_bytes_arrive_whatever_the_chunks() {
        let wanted = descriptor("1.0.0", b"component");
        for chunks in [
            &[&b"component"[..]][..],
            &[b"comp", b"", b"onent"],
            &[b"", b"c", b"omponent", b""],
        ] {
            assert_eq!(fetch(&quick(chunks), &wanted, 9).await.unwrap(), &b"component"[..]);
        }
    }

    #[tokio::test]
    async fn an_empty_component_is_fetched_as_such() {
        assert_eq!(
            fetch(&quick(&[]), &descriptor("1.0.0", b""), 0).await.unwrap(),
            &b""[..]
        );
    }

    #[tokio::test]
    async fn a_promise_above_the_bound_is_refused_before_the_download() {
        let refused = fetch(&quick(&[b"component"]), &descriptor("1.0.0", b"component"), 8).await;
        assert!(matches!(
            refused,
            Err(RegistryError::TooLarge {
                size_bytes: 9,
                bytes_max: 8,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn missing_bytes_are_refused() {
        let refused = fetch(&quick(&[b"comp", b"one"]), &descriptor("1.0.0", b"component"), 100).await;
        assert!(matches!(
            refused,
            Err(RegistryError::Truncated {
                expected_bytes: 9,
                found_bytes: 7,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn a_flipped_bit_is_refused() {
        let refused = fetch(&quick(&[b"comp", b"onenu"]), &descriptor("1.0.0", b"component"), 100).await;
        assert!(matches!(refused, Err(RegistryError::DigestMismatch { .. })));
    }

    #[tokio::test]
    async fn an_endless_stream_is_cut_at_the_promised_size() {
        let mut endless = quick(&[b"component"]);
        endless.for_ever = true;
        let refused = fetch(&endless, &descriptor("1.0.0", b"component"), 100).await;
        assert!(matches!(
            refused,
            Err(RegistryError::LongerThanPromised { expected_bytes: 9, .. })
        ));
    }

    #[tokio::test]
    async fn a_source_that_trickles_is_given_up_though_it_never_falls_silent() {
        let mut slow = quick(&[b"x"]);
        (slow.for_ever, slow.pause) = (true, Duration::from_millis(5));
        let progress = Progress {
            window: Duration::from_millis(60),
            bytes_min: 1000,
        };
        let refused = fetch_at(&slow, &descriptor("1.0.0", &[b'x'; 9000]), 10_000, progress).await;
        assert!(matches!(
            refused,
            Err(RegistryError::Stalled {
                bytes_min: 1000,
                window_ms: 60,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn a_source_that_falls_silent_is_given_up() {
        let mut silent = quick(&[b"component"]);
        silent.pause = Duration::from_mins(10);
        let progress = Progress {
            window: Duration::from_millis(30),
            bytes_min: 1,
        };
        let refused = fetch_at(&silent, &descriptor("1.0.0", b"component"), 100, progress).await;
        assert!(matches!(refused, Err(RegistryError::Stalled { .. })));
    }

    #[tokio::test]
    async fn empty_chunks_are_no_progress() {
        let mut idle = quick(&[b""]);
        idle.for_ever = true;
        let progress = Progress {
            window: Duration::from_millis(30),
            bytes_min: 1,
        };
        let refused = fetch_at(&idle, &descriptor("1.0.0", b"component"), 100, progress).await;
        assert!(matches!(refused, Err(RegistryError::Stalled { .. })));
    }

    #[tokio::test]
    async fn a_steady_source_may_take_many_windows() {
        let mut steady = quick(&[&b"xxxxxxxxxx"[..]; 12]);
        steady.pause = Duration::from_millis(250);
        let progress = Progress {
            window: Duration::from_secs(2),
            bytes_min: 1,
        };
        let fetched = fetch_at(&steady, &descriptor("1.0.0", &[b'x'; 120]), 1000, progress).await;
        assert_eq!(fetched.unwrap().len(), 120);
    }
}
