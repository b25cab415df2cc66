//! One call of a trigger: its input from what the trigger gives, and what its end means for the trigger.

use bytes::Bytes;
use kinetic_engine::{Answer, EngineError, Function, Input, WitType};
use kinetic_identity::strict_json;
use kinetic_model::{CapsuleRef, Coded as _, ErrorKind, Fault, Urn};
use serde_json::{Map, Value};

use super::{LastResult, Origin, Trigger};
use crate::{Execution, Kernel};

/// How deep an event's data may nest when it is an object of arguments.
const DEPTH_MAX: usize = 64;

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It returned well, and is recorded.
    Done,
    /// It failed by itself.
    Failed,
    /// Something else is in its way, which passes.
    Waiting,
    /// Somebody else consumed the event, or wrote all the time what it reads: look anew.
    Moved,
}

/// Calls a trigger's function and notes how it went. `input` makes its input once the function is known.
pub(super) async fn call(
    kernel: &Kernel,
    key: &(Urn, Trigger),
    origin: &Origin,
    input: impl FnOnce(&Function) -> Result<Input, String>,
) -> Verdict {
    let (urn, trigger) = key;
    let name = trigger.function.as_str();
    // The version that runs may be a newer one than this: the same major, so the same shape.
    let input = match kernel.current(urn) {
        Ok(capsule) => capsule
            .capability
            .function(Some(name))
            .map_err(|error| Ended::of_fault(&Fault::from(&error)))
            .and_then(|function| input(function).map_err(Ended::failed)),
        Err(error) => Err(Ended::of_fault(&Fault::from(error))),
    };
    let ended = match input {
        Err(ended) => ended,
        Ok(input) => {
            let what = CapsuleRef::from(urn.clone());
            match kernel.execute_as(&what, Some(name), input, origin).await {
                Ok(execution) => Ended::of(execution),
                Err(fault) => Ended::of_fault(&fault),
            }
        }
    };
    let result = match ended.verdict {
        Verdict::Done => LastResult::Ok,
        Verdict::Failed => LastResult::Failed,
        Verdict::Waiting | Verdict::Moved => LastResult::Waiting,
    };
    if let Some(why) = &ended.why {
        tracing::debug!(%urn, trigger = %trigger.when, "{name}: {why}");
    }
    kernel.0.board.note(key, result, ended.why.as_deref(), ended.receipt_id);
    ended.verdict
}

/// How a call ended, and what is said of it.
struct Ended {
    verdict: Verdict,
    why: Option<String>,
    receipt_id: Option<String>,
}

impl Ended {
    const fn failed(why: String) -> Self {
        Self {
            verdict: Verdict::Failed,
            why: Some(why),
            receipt_id: None,
        }
    }

    /// Nothing ran, or it could not be recorded.
    fn of_fault(fault: &Fault) -> Self {
        let verdict = match fault.kind {
            ErrorKind::Conflict => Verdict::Moved,
            // Neither the event nor the time is to blame: suspended, quarantined, gone, busy, unreachable.
            kind if is_passing(kind) || matches!(kind, ErrorKind::NotFound | ErrorKind::Security) => Verdict::Waiting,
            _ => Verdict::Failed,
        };
        Self {
            verdict,
            why: Some(fault.to_string()),
            receipt_id: None,
        }
    }

    fn of(execution: Execution) -> Self {
        let (verdict, why) = match execution.outcome.result {
            Ok(Answer::Ok(_)) => (Verdict::Done, None),
            Ok(Answer::Err(output)) => (Verdict::Failed, Some(format!("it returned {}", output.into_json()))),
            Err(error) => (of_engine(&error), Some(format!("{} {error}", error.code()))),
        };
        Self {
            verdict,
            why,
            receipt_id: execution.receipt_id,
        }
    }
}

fn of_engine(error: &EngineError) -> Verdict {
    if is_passing(error.kind()) {
        Verdict::Waiting
    } else {
        Verdict::Failed
    }
}

/// Whether a failure says nothing about the call: the host was busy or broken.
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Busy | ErrorKind::Internal | ErrorKind::Unavailable)
}

/// A tick's input: nothing.
pub(super) fn of_nothing() -> Input {
    Input::Json(Map::new())
}

/// An event's input: its data as they are for the one parameter of text or bytes, else an object of arguments; nothing for
/// a function that takes nothing.
pub(super) fn of_data(function: &Function, data: Option<&[u8]>) -> Result<Input, String> {
    let data = data.unwrap_or_default();
    match function.params.as_slice() {
        [] => Ok(Input::Json(Map::new())),
        [(_, WitType::String | WitType::Bytes)] => Ok(Input::Bytes {
            bytes: Bytes::copy_from_slice(data),
            rest: Map::new(),
        }),
        _ => match strict_json::parse(data, DEPTH_MAX) {
            Ok(Value::Object(arguments)) => Ok(Input::Json(arguments)),
            Ok(_) => Err("the event's data is not a JSON object of the function's arguments".into()),
            Err(error) => Err(format!(
                "the event's data is not a JSON object of the function's arguments: {error}"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(params: &[WitType]) -> Function {
        let name = |(at, ty): (usize, &WitType)| (format!("p{at}"), ty.clone());
        Function {
            name: "f".into(),
            instance: None,
            export: "f".into(),
            docs: None,
            params: params.iter().enumerate().map(name).collect(),
            result: None,
        }
    }

    #[test]
    fn data_goes_as_it_is_to_one_text_or_bytes_and_as_arguments_to_everything_else() {
        for ty in [WitType::String, WitType::Bytes] {
            let input = of_data(&function(&[ty]), Some(b"{}")).unwrap();
            assert!(matches!(input, Input::Bytes { bytes, rest } if &*bytes == b"{}" && rest.is_empty()));
        }
        let number = function(&[WitType::U32]);
        let input = of_data(&number, Some(br#"{ "p0": 7 }"#)).unwrap();
        assert!(matches!(input, Input::Json(arguments) if arguments["p0"] == 7));
        assert!(of_data(&number, Some(b"7")).is_err());
        assert!(of_data(&number, Some(br#"{ "p0": 7, "p0": 8 }"#)).is_err());
        assert!(of_data(&number, None).is_err());
        assert!(matches!(of_data(&function(&[]), Some(b"x")).unwrap(), Input::Json(none) if none.is_empty()));
    }

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_counts_against_the_event() {
        let verdict = |kind| {
            let fault = Fault {
                kind,
                ..Fault::from(crate::KernelError::NotActive { what: "urn:a".into() })
            };
            Ended::of_fault(&fault).verdict
        };
        assert_eq!(verdict(ErrorKind::Busy), Verdict::Waiting);
        assert_eq!(verdict(ErrorKind::Security), Verdict::Waiting);
        assert_eq!(verdict(ErrorKind::Conflict), Verdict::Moved);
        assert_eq!(verdict(ErrorKind::TooLarge), Verdict::Failed);
        assert_eq!(verdict(ErrorKind::Conformance), Verdict::Failed);
    }
}
