//! Sources that are honest, slow, endless, wrong, and such whose connection breaks.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use kinetic_model::{CapsuleRef, Digest};
use parking_lot::Mutex;

use super::*;
use crate::store::tests::descriptor;
use crate::{Download, Summary};

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
    async fn download(&self, _: &Descriptor, _: &Rest) -> Result<Download, RegistryError> {
        let pause = self.pause;
        let chunks = self.chunks.clone().into_iter();
        let chunks: Box<dyn Iterator<Item = Bytes> + Send> = if self.for_ever {
            Box::new(chunks.cycle())
        } else {
            Box::new(chunks)
        };
        Ok(Download {
            from_byte: 0,
            tag: None,
            bytes: Box::pin(stream::iter(chunks).then(move |chunk| async move {
                tokio::time::sleep(pause).await;
                Ok(chunk)
            })),
        })
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
        pause: Duration::ZERO,
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
        pause: Duration::ZERO,
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
        pause: Duration::ZERO,
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
        pause: Duration::ZERO,
    };
    let fetched = fetch_at(&steady, &descriptor("1.0.0", &[b'x'; 120]), 1000, progress).await;
    assert_eq!(fetched.unwrap().len(), 120);
}

/// What a breaking source does when it is asked.
enum Act {
    /// Delivers so many bytes from where it was asked, and breaks.
    Breaks(usize),
    /// Delivers so many from the beginning, whatever was asked, and breaks.
    Anew(usize),
    /// Is not there.
    Away,
    /// Begins at this byte, whatever was asked.
    Elsewhere(u64),
    /// Delivers all that is missing.
    Goes,
}

struct Breaking {
    component: Bytes,
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<(u64, Option<String>)>>,
}

impl Breaking {
    fn new(component: &'static [u8], acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            component: Bytes::from_static(component),
            acts: Mutex::new(acts.into_iter().collect()),
            asked: Mutex::default(),
        }
    }

    fn asked_from(&self) -> Vec<u64> {
        self.asked.lock().iter().map(|(from_byte, _)| *from_byte).collect()
    }
}

fn broken() -> RegistryError {
    RegistryError::Unreachable {
        origin: "breaking".into(),
        why: "cut".into(),
    }
}

#[async_trait]
impl Source for Breaking {
    fn name(&self) -> &'static str {
        "breaking"
    }
    async fn describe(&self, _: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        unreachable!("fetch never describes")
    }
    async fn download(&self, _: &Descriptor, rest: &Rest) -> Result<Download, RegistryError> {
        self.asked.lock().push((rest.from_byte, rest.tag.clone()));
        let act = self.acts.lock().pop_front().unwrap_or(Act::Goes);
        let (from_byte, bytes, breaks) = match act {
            Act::Away => return Err(broken()),
            Act::Breaks(bytes) => (rest.from_byte, bytes, true),
            Act::Anew(bytes) => (0, bytes, true),
            Act::Elsewhere(from_byte) => (from_byte, usize::MAX, false),
            Act::Goes => (rest.from_byte, usize::MAX, false),
        };
        let from = usize::try_from(from_byte).unwrap();
        let end = from.saturating_add(bytes).min(self.component.len());
        let mut pieces = vec![Ok(self.component.slice(from..end))];
        pieces.extend(breaks.then(|| Err(broken())));
        Ok(Download {
            from_byte,
            tag: Some("\"one\"".into()),
            bytes: Box::pin(stream::iter(pieces)),
        })
    }
    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        unreachable!("fetch never lists")
    }
}

const HASTY: Progress = Progress {
    window: Duration::from_secs(30),
    bytes_min: 1,
    pause: Duration::from_millis(1),
};

async fn fetched(source: &Breaking) -> Result<Hashed, RegistryError> {
    fetch_at(source, &descriptor("1.0.0", b"component"), 100, HASTY).await
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_stopped_and_fetches_nothing_twice() {
    use Act::{Away, Breaks};
    let source = Breaking::new(b"component", [Breaks(2), Breaks(0), Away, Breaks(3), Breaks(1)]);
    let fetched = fetched(&source).await;
    assert_eq!(fetched.unwrap(), b"component"[..]);
    assert_eq!(source.asked_from(), [0, 2, 2, 2, 5, 6]);
    // Of the very content that the bytes before were of.
    let tags: Vec<_> = source.asked.lock().iter().map(|(_, tag)| tag.is_some()).collect();
    assert_eq!(tags, [false, true, true, true, true, true]);
}

#[tokio::test]
async fn wherever_it_breaks_the_bytes_are_the_same() {
    for at in 0..=9 {
        let source = Breaking::new(b"component", [Act::Breaks(at)]);
        let fetched = fetched(&source).await;
        assert_eq!(fetched.unwrap().digest(), Digest::of(b"component"), "{at}");
        // When all of it is here it does not matter how the connection ended.
        assert_eq!(source.asked.lock().len(), if at == 9 { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_source_that_cannot_go_on_is_fetched_anew_and_hashed_anew_but_not_for_ever() {
    let source = Breaking::new(b"component", [Act::Breaks(4), Act::Anew(6), Act::Breaks(1)]);
    let fetched_anew = fetched(&source).await;
    assert_eq!(fetched_anew.unwrap(), b"component"[..]);
    assert_eq!(source.asked_from(), [0, 4, 6, 7]);
    // One byte more each time: there is always something new, and it is paid for again and again.
    let source = Breaking::new(b"component", (1..9).map(Act::Anew));
    let refused = fetched(&source).await;
    assert!(matches!(refused, Err(RegistryError::Unreachable { .. })), "{refused:?}");
    assert_eq!(source.asked.lock().len(), 5);
}

#[tokio::test]
async fn four_tries_in_a_row_that_bring_nothing_are_the_last() {
    let source = Breaking::new(b"component", (0..50).map(|_| Act::Away));
    let refused = fetched(&source).await;
    assert!(matches!(refused, Err(RegistryError::Unreachable { .. })));
    assert_eq!(source.asked.lock().len(), 4);
    let source = Breaking::new(
        b"component",
        [Act::Breaks(3)].into_iter().chain((0..50).map(|_| Act::Breaks(0))),
    );
    let refused = fetched(&source).await;
    assert!(matches!(refused, Err(RegistryError::Unreachable { .. })));
    assert_eq!(source.asked_from(), [0, 3, 3, 3, 3]);
}

#[tokio::test]
async fn a_source_that_goes_on_elsewhere_is_refused() {
    for elsewhere in [1, 3] {
        let source = Breaking::new(b"component", [Act::Breaks(2), Act::Elsewhere(elsewhere)]);
        let refused = fetched(&source).await;
        assert!(
            matches!(refused, Err(RegistryError::OtherThanAsked { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn tries_one_after_the_other_are_as_slow_together_as_one() {
    // One byte a try, and there is always a new one.
    let source = Breaking::new(b"component", (0..50).map(|_| Act::Breaks(1)));
    let progress = Progress {
        window: Duration::from_millis(20),
        bytes_min: 1000,
        pause: Duration::from_hours(1),
    };
    let wanted = descriptor("1.0.0", b"component");
    let refused = fetch_at(&source, &wanted, 100, progress).await;
    assert!(matches!(refused, Err(RegistryError::Stalled { .. })), "{refused:?}");
}
