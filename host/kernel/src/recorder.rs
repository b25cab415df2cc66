//! Writes what happens into the ledger: each call, also one that was dropped, and each step of a capsule's life.

use bytes::Bytes;
use kinetic_engine::{CallContext, Input, Outcome};
use kinetic_ledger::{Commit, Durability, Ledger};
use kinetic_model::{AuditLevel, Determinism, Digest, Fault};
use sha2::Digest as _;

use crate::call_record::Beginning;
use crate::statement::{self, Build, Circumstances, Ended, Event};
use crate::{Capsule, Policy};

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

    /// Writes a step of a capsule's life.
    pub(crate) fn step(&self, urn: &str, version: &str, digest: &Digest, event: Event<'_>) -> Result<(), Fault> {
        let statement = statement::lifecycle(urn, version, digest, event, &self.build);
        self.ledger.record(statement, None)?;
        Ok(())
    }

    /// Commits the record of a call; gives the name of its receipt.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<String, Fault> {
        Ok(self.ledger.commit(commit).await?.receipt_id)
    }

    /// Begins the record of a call. Refused when the ledger takes no more: what cannot be recorded does not run.
    pub(crate) fn begin<'r>(
        &'r self,
        capsule: &'r Capsule,
        function: &'r str,
        input: &Input,
    ) -> Result<(Recording<'r>, Option<CallContext>), Fault> {
        self.ledger.check()?;
        let governance = &capsule.manifest.governance;
        let replayable = matches!(
            governance.determinism,
            Determinism::D0BitExact | Determinism::D1NumericallyStable
        );
        let audit = governance.audit_level;
        let with_input = replayable || matches!(audit, AuditLevel::Elevated | AuditLevel::Critical);
        let input_digest = statement::input_digest(input);
        let context = replayable.then(|| CallContext {
            unix_ns: self.ledger.last_unix_ns(),
            seed: seed(capsule, function, &input_digest),
            ..CallContext::default()
        });
        let plain = CallContext::default();
        let beginning = with_input.then(|| Beginning::of(function, input, context.as_ref().unwrap_or(&plain)));
        let recording = Recording {
            recorder: self,
            capsule,
            function,
            input: input_digest,
            state_seq: self.ledger.visible(),
            beginning,
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
pub(crate) struct Recording<'r> {
    recorder: &'r Recorder,
    capsule: &'r Capsule,
    function: &'r str,
    input: Digest,
    state_seq: u64,
    beginning: Option<Beginning>,
    replayable: bool,
    durability: Option<Durability>,
    done: bool,
}

impl Recording<'_> {
    /// The record of the call, to be committed.
    pub(crate) fn end(mut self, outcome: &Outcome) -> Commit {
        self.done = true;
        let tape = self.replayable.then_some(outcome.tape.as_slice());
        Commit {
            durability: self.durability,
            receipt: Some(self.statement(&Ended::Outcome(&outcome.result, &outcome.usage))),
            call: self.beginning.take().map(|beginning| beginning.finish(tape)),
        }
    }

    fn statement(&self, ended: &Ended<'_>) -> Bytes {
        let around = Circumstances {
            build: &self.recorder.build,
            state_seq: self.state_seq,
            policy_epoch: self.recorder.policy_epoch,
        };
        statement::execution(self.capsule, self.function, &self.input, ended, &around)
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
