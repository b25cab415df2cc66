//! Replaying: a recorded call is made again from its recorded input, context and host calls, and its output compared.

use std::sync::Arc;

use kinetic_engine::{Answer, EngineError, Outcome};
use kinetic_ledger::Record;
use kinetic_model::{CapsuleRef, Coded as _, Digest, Fault, Pin, Urn};
use serde::{Deserialize, Serialize};

use crate::call_record::CallRecord;
use crate::statement::output_digest;
use crate::{Capsule, Kernel, KernelError};

/// What a receipt of a call says, as far as replaying needs it.
#[derive(Debug, Deserialize)]
struct Recorded {
    predicate: Predicate,
}

#[derive(Debug, Deserialize)]
struct Predicate {
    event: String,
    capsule: Option<Named>,
    output_hash: Option<Digest>,
    verdict: Option<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Named {
    urn: Urn,
    digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Verdict {
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

/// How a call ended: comparable between then and now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// `ok`, `err` or `failed`.
    pub status: String,
    /// The stable code of a failure.
    pub code: Option<String>,
    /// The digest of the output.
    pub output_hash: Option<Digest>,
}

impl Ending {
    /// In a few words.
    pub(crate) fn brief(&self) -> String {
        let more = self
            .code
            .clone()
            .or_else(|| self.output_hash.map(|digest| digest.to_string()));
        more.map_or_else(|| self.status.clone(), |more| format!("{} {more}", self.status))
    }
}

/// What replaying one record showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The record is no call of the capsule asked for.
    Other,
    /// It cannot be made again, and why.
    Skipped(String),
    /// It ended the same.
    Same,
    /// It ended otherwise.
    Diverged {
        /// As recorded.
        then: Ending,
        /// As it is now, and why if a host call was another one.
        now: Ending,
        /// The error's words, when it failed now.
        why: Option<String>,
    },
}

impl Kernel {
    /// Makes a recorded call again, without touching anything outside: with the component that was recorded, or with
    /// `instead`. Nothing is recorded.
    ///
    /// # Errors
    /// When the record cannot be read, or its component is nowhere to be found.
    pub async fn replay(&self, record: &Record, urn: &Urn, instead: Option<&Arc<Capsule>>) -> Result<Replayed, Fault> {
        let Some(receipt) = record.receipt()? else {
            return Ok(Replayed::Other);
        };
        let recorded: Recorded = serde_json::from_slice(&receipt).map_err(|e| KernelError::BadReceipt {
            seq: record.seq,
            why: e.to_string(),
        })?;
        let predicate = recorded.predicate;
        let (Some(capsule), Some(verdict)) = (predicate.capsule, predicate.verdict) else {
            return Ok(Replayed::Other);
        };
        if predicate.event != "execution" || capsule.urn != *urn {
            return Ok(Replayed::Other);
        }
        let skipped = |why: &str| Ok(Replayed::Skipped(why.into()));
        if verdict.status == "cancelled" {
            return skipped("whoever asked went away before it ended");
        }
        let Some(call) = record.parts()?.call else {
            return skipped("its input was not recorded: the capsule's tier is not D0 or D1");
        };
        let call = CallRecord::decode(&call)?;
        if call.tape.is_none() {
            return skipped("its host calls were not recorded: the capsule's tier is not D0 or D1");
        }
        let wall_timeout = EngineError::WallTimeout { wall_time_ms_max: 0 };
        if verdict.code.as_deref() == Some(wall_timeout.code()) {
            return skipped("the wall clock ended it, which no replay repeats");
        }
        let capsule = match instead {
            Some(instead) => instead.clone(),
            None => {
                self.activate(&CapsuleRef {
                    urn: urn.clone(),
                    pin: Pin::Digest(capsule.digest),
                })
                .await?
            }
        };
        let context = call.context();
        let outcome = capsule
            .capability
            .call_with(Some(&call.function), call.input, context)
            .await;
        let then = Ending {
            status: verdict.status,
            code: verdict.code,
            output_hash: predicate.output_hash,
        };
        let (now, why) = ending(&outcome);
        Ok(if then == now {
            Replayed::Same
        } else {
            Replayed::Diverged { then, now, why }
        })
    }
}

fn ending(outcome: &Outcome) -> (Ending, Option<String>) {
    let (status, code, output_hash, why) = match &outcome.result {
        Ok(Answer::Ok(output)) => ("ok", None, Some(output_digest(output)), None),
        Ok(Answer::Err(output)) => ("err", None, Some(output_digest(output)), None),
        Err(error) => ("failed", Some(error.code().to_string()), None, Some(error.to_string())),
    };
    let ending = Ending {
        status: status.into(),
        code,
        output_hash,
    };
    (ending, why)
}
