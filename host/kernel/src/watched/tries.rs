//! A version that was refused: what was said about it, and when it is worth another try.

use std::path::Path;
use std::time::{Duration, Instant};

use kinetic_identity::RootFolder;
use kinetic_model::{Digest, ErrorKind, Fault};

use super::Candidate;
use super::part::Stamp;
use crate::Kernel;
use crate::install::is_passing;

/// How long is waited before the second try when the host was to blame; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest wait between tries.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// A refusal.
#[derive(Debug)]
pub(super) struct Try {
    content: (Digest, Digest),
    code: &'static str,
    worth: Worth,
}

/// What has to happen for another try to end otherwise.
#[derive(Debug)]
enum Worth {
    /// Time has to pass: the host was busy or broken.
    Later { at: Instant, pause: Duration },
    /// What was asked has to give another answer: the trust root or the quarantine, and where another capsule stood in the
    /// way, what is active.
    Changed { then: World, with_others: bool },
}

/// What decides about a version besides its own bytes.
#[derive(Debug)]
pub(super) struct World {
    /// The trust root's file, and the folder of root documents: each of its files is put there whole, under its name.
    trust: [Option<Stamp>; 2],
    /// When its bytes were quarantined, if they are.
    quarantined_unix_ms: Option<u64>,
    /// Counts changes of the active set.
    changes: u64,
}

impl World {
    pub(super) fn now(kernel: &Kernel, digest: &Digest) -> Self {
        let stamp = |path: &Path| path.metadata().ok().map(|file| Stamp::of(&file));
        let trust = kernel.trust_root();
        Self {
            trust: [stamp(trust), stamp(RootFolder::beside(trust).path())],
            quarantined_unix_ms: kernel.quarantine().get(digest).map(|entry| entry.at_unix_ms),
            changes: *kernel.changes().borrow(),
        }
    }
}

impl Try {
    /// Notes a refusal of these bytes, after another one of the same if there was one; `then` is what was so before they were tried.
    pub(super) fn refused(
        kernel: &Kernel,
        content: (Digest, Digest),
        then: World,
        fault: &Fault,
        before: Option<&Self>,
    ) -> Self {
        let worth = if is_passing(fault) {
            let pause = match before.map(|before| &before.worth) {
                Some(Worth::Later { pause, .. }) => (*pause * 2).min(PAUSE_MAX),
                _ => PAUSE_MIN,
            };
            Worth::Later {
                at: Instant::now() + pause,
                pause,
            }
        } else {
            // That it is in quarantine now is what this refusal itself did.
            let now = World::now(kernel, &content.0);
            Worth::Changed {
                then: World {
                    quarantined_unix_ms: now.quarantined_unix_ms,
                    ..then
                },
                with_others: fault.kind == ErrorKind::Conflict,
            }
        };
        Self {
            content,
            code: fault.code,
            worth,
        }
    }

    /// Whether another try may end otherwise now.
    pub(super) fn is_due(&self, kernel: &Kernel) -> bool {
        match &self.worth {
            Worth::Later { at, .. } => Instant::now() >= *at,
            Worth::Changed { then, with_others } => {
                let now = World::now(kernel, &self.content.0);
                now.trust != then.trust
                    || now.quarantined_unix_ms != then.quarantined_unix_ms
                    || (*with_others && now.changes != then.changes)
            }
        }
    }

    /// Whether these bytes were refused.
    pub(super) fn is_of(&self, content: (Digest, Digest)) -> bool {
        self.content == content
    }

    /// Whether it says something that the one before, of the same bytes, did not.
    pub(super) fn is_news(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before.code != self.code)
    }
}

impl Candidate {
    /// SHA-256 of the component, and of the manifest's text.
    pub(super) fn digests(&self) -> (Digest, Digest) {
        (Digest::of(&self.component), Digest::of(self.manifest.as_bytes()))
    }
}
