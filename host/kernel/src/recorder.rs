//! Writes what happens into the ledger: each call, also one that was dropped, and each step of a capsule's life.

use bytes::Bytes;
use kinetic_engine::{Answer, CallContext, Input, Outcome, PeerCalls, Within};
use kinetic_ledger::bus::NewEvent;
use kinetic_ledger::{Commit, Durability, Effects, Ledger, LedgerError};
use kinetic_model::{AuditLevel, Determinism, Digest, Fault};
use sha2::Digest as _;

use crate::call_record::Beginning;
use crate::executors::Origin;
use crate::statement::{self, Build, Circumstances, Ended, Hashes};
use crate::zones::Permit;
use crate::{Capsule, Policy};

/// Imports that begin so have effects in the ledger.
const EFFECTS: [&str; 3] = ["kinetic:state/", "kinetic:events/", "wasi:keyvalue/"];
/// How often a call is made when others keep writing what it reads.
const TRIES_MAX: u32 = 16;

/// The ledger as the kernel writes it.
pub(crate) struct Recorder {
    pub(crate) ledger: Ledger,
    build: Build,
    policy_epoch: u64,
}

impl Recorder {
    /// Writes that this host started; that record's number is the epoch of its policy.
    pub(crate) fn start(ledger: Ledger, build: Build, policy: &Policy) -> Result<Self, Fault> {
        let statement = statement::host_started(&build, &policy.digest());
        let committed = ledger.record(statement, None)?;
        Ok(Self {
            ledger,
            build,
            policy_epoch: committed.seq,
        })
    }

    /// What runs here, as records name it.
    pub(crate) const fn build(&self) -> &Build {
        &self.build
    }

    /// Commits the record of a call; gives the name of its receipt.
    async fn commit(&self, commit: Commit) -> Result<String, LedgerError> {
        Ok(self.ledger.commit(commit).await?.receipt_id)
    }

    /// Publishes what no commit holds. The call is done: topics in memory promise nothing.
    async fn publish(&self, memory: Vec<NewEvent>) {
        if memory.is_empty() {
            return;
        }
        if let Err(error) = self.ledger.bus().publish_memory(memory).await {
            tracing::warn!("events for topics in memory were lost: {error}");
        }
    }

    /// Makes a call and commits its record with its effects; gives the name of its receipt and its digests, too. A call that
    /// read what somebody wrote meanwhile is made again.
    ///
    /// # Errors
    /// A ledger that takes no records; `Conflict` after [`TRIES_MAX`] tries, which is recorded.
    pub(crate) async fn call(
        &self,
        capsule: &Capsule,
        permit: &mut Permit<'_>,
        function: &str,
        input: Input,
        within: Within,
        origin: &Origin,
    ) -> Result<(Outcome, String, Hashes), Fault> {
        // Only a call with effects, or for an event, can meet a conflict, and only then is the input needed twice.
        let mut again = (capsule.has_effects() || !origin.consumed.is_empty()).then(|| input.clone());
        let mut input = Some(input);
        let mut tries = 1;
        while let Some(given) = input.take() {
            let (recording, context) = self.begin(capsule, function, &given, origin)?;
            permit.runs();
            let mut outcome = match context {
                // One that calls no others passes nothing on.
                None if capsule.links.is_empty() && within.sandboxes == 0 => {
                    capsule.capability.call(Some(function), given).await
                }
                context => {
                    let context = CallContext {
                        within,
                        ..context.unwrap_or_default()
                    };
                    capsule.capability.call_with(Some(function), given, context).await
                }
            };
            permit.burnt(&outcome.usage);
            // A version that was replaced meanwhile leaves nothing; as long as this is held, it cannot be.
            let committing = capsule.capability.committing();
            if let Err(fenced) = &committing {
                outcome.result = Err(fenced.clone());
            }
            let hashes = Hashes {
                input: recording.input,
                output: statement::answer_digest(&outcome.result),
            };
            let committed = match recording.end(&mut outcome, hashes.output) {
                Ok((commit, memory)) => self.commit(commit).await.map(|receipt_id| (receipt_id, memory)),
                Err(error) => Err(error),
            };
            match committed {
                Ok((receipt_id, memory)) => {
                    self.publish(memory).await;
                    return Ok((outcome, receipt_id, hashes));
                }
                Err(LedgerError::Conflict { seq, .. }) if tries < TRIES_MAX => {
                    tries += 1;
                    // Made at once, it would read the same again and fail the same way.
                    self.ledger.shown(seq).await?;
                    input = again.clone();
                }
                // Another call of the group consumed these events: this one goes on after them. One that was made for an
                // event has nothing to go on with when that is consumed: only its own groups are meant.
                Err(LedgerError::OffsetMoved { ref group, .. })
                    if tries < TRIES_MAX && origin.consumed.iter().all(|consumed| consumed.group != *group) =>
                {
                    tries += 1;
                    input = again.clone();
                }
                Err(error) => {
                    let fault = Fault::from(&error);
                    if let Some(given) = again.take() {
                        let (recording, _) = self.begin(capsule, function, &given, origin)?;
                        self.commit(recording.refused(&outcome, fault.code)).await?;
                    }
                    return Err(fault);
                }
            }
        }
        Err(LedgerError::Closed {}.into())
    }

    /// Begins the record of a call. Refused when the ledger takes no more: what cannot be recorded does not run.
    fn begin<'r>(
        &'r self,
        capsule: &'r Capsule,
        function: &'r str,
        input: &Input,
        origin: &'r Origin,
    ) -> Result<(Recording<'r>, Option<CallContext>), Fault> {
        self.ledger.check()?;
        let governance = &capsule.manifest.governance;
        let replayable = capsule.is_replayable();
        let audit = governance.audit_level;
        let with_input = replayable || matches!(audit, AuditLevel::Elevated | AuditLevel::Critical);
        let arguments = statement::arguments_json(input);
        let input_digest = statement::input_digest(input, &arguments);
        let context = replayable.then(|| CallContext {
            unix_ns: self.ledger.last_unix_ns(),
            seed: seed(capsule, function, &input_digest),
            ..CallContext::default()
        });
        let plain = CallContext::default();
        let beginning =
            with_input.then(|| Beginning::of(function, input, &arguments, context.as_ref().unwrap_or(&plain)));
        let recording = Recording {
            recorder: self,
            capsule,
            function,
            origin,
            input: input_digest,
            state_seq: self.ledger.visible(),
            beginning,
            calls: None,
            replayable,
            durability: (audit == AuditLevel::Critical).then_some(Durability::Synced),
            done: false,
        };
        Ok((recording, context))
    }
}

/// The same for the same bytes, function and input: a bit-exact capsule answers the same anywhere.
fn seed(capsule: &Capsule, function: &str, input: &Digest) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    hasher.update(capsule.digest.as_bytes());
    hasher.update(input.as_bytes());
    hasher.update(function.as_bytes());
    hasher.finalize().into()
}

/// A call under way. Dropped before it is finished, it is recorded as cancelled.
struct Recording<'r> {
    recorder: &'r Recorder,
    capsule: &'r Capsule,
    function: &'r str,
    origin: &'r Origin,
    input: Digest,
    state_seq: u64,
    beginning: Option<Beginning>,
    /// The calls of other capsules that it made.
    calls: Option<PeerCalls>,
    replayable: bool,
    durability: Option<Durability>,
    done: bool,
}

impl Recording<'_> {
    /// The record of the call with all its effects, to be committed, and the events to be published after it. A call that
    /// did not return well leaves none.
    ///
    /// # Errors
    /// `Conflict`: somebody wrote meanwhile what the call read, and it is to be made again.
    fn end(
        mut self,
        outcome: &mut Outcome,
        output_hash: Option<Digest>,
    ) -> Result<(Commit, Vec<NewEvent>), LedgerError> {
        self.done = true;
        let effects = outcome.extensions.take::<Effects>();
        self.calls = outcome.extensions.take();
        let tape = self.replayable.then_some(outcome.tape.as_slice());
        if let Some(snapshot) = effects.as_ref().and_then(Effects::snapshot) {
            self.state_seq = snapshot;
        }
        let mut commit = Commit {
            durability: self.durability,
            receipt: Some(self.statement(&Ended::Outcome(outcome, output_hash))),
            call: self.beginning.take().map(|beginning| beginning.finish(tape)),
            ..Commit::default()
        };
        if !matches!(outcome.result, Ok(Answer::Ok(_))) {
            return Ok((commit, Vec::new()));
        }
        let memory = match effects {
            Some(effects) => effects.into_commit(&mut commit)?,
            None => Vec::new(),
        };
        commit.offsets.extend(self.origin.consumed.iter().cloned());
        Ok((commit, memory))
    }

    /// The record of a call whose effects could not be committed: it left nothing.
    fn refused(mut self, outcome: &Outcome, code: &'static str) -> Commit {
        self.done = true;
        Commit {
            durability: self.durability,
            receipt: Some(self.statement(&Ended::Refused(code, &outcome.usage))),
            ..Commit::default()
        }
    }

    fn statement(&self, ended: &Ended<'_>) -> Bytes {
        let around = Circumstances {
            build: &self.recorder.build,
            state_seq: self.state_seq,
            policy_epoch: self.recorder.policy_epoch,
            calls: self.calls.as_ref(),
            called_by: self.origin.called_by.as_ref(),
        };
        statement::execution(self.capsule, self.function, &self.input, ended, &around)
    }
}

impl Capsule {
    /// Whether its calls can write state or events.
    fn has_effects(&self) -> bool {
        let imports = &self.capability.interface().imports;
        imports
            .iter()
            .any(|import| EFFECTS.iter().any(|effect| import.starts_with(effect)))
    }

    /// Whether its calls can be made again and answer the same.
    fn is_replayable(&self) -> bool {
        matches!(
            self.manifest.governance.determinism,
            Determinism::D0BitExact | Determinism::D1NumericallyStable
        )
    }

    /// Whether each of its calls has a record of its own, also one that another capsule's call made.
    pub(crate) fn needs_records(&self) -> bool {
        let audit = self.manifest.governance.audit_level;
        self.has_effects() || self.is_replayable() || matches!(audit, AuditLevel::Elevated | AuditLevel::Critical)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let statement = self.statement(&Ended::Cancelled);
        let call = self.beginning.take().map(|beginning| beginning.finish(None));
        if let Err(error) = self.recorder.ledger.record(statement, call) {
            tracing::warn!("a call that was dropped could not be recorded: {error}");
        }
    }
}
