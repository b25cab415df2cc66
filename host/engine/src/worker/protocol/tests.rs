//! What is said is read as it was said.

use super::*;
use serde_json::{Map, json};

fn call(input: Input, context: Option<Context>) -> ToWorker {
    let call = Call {
        function: "f".into(),
        limits: Limits::default(),
        spent_ns: 7,
        context,
        input,
    };
    ToWorker::Call {
        id: 1,
        slot: 2,
        call: Box::new(call),
    }
}

fn outcome(result: Result<Answer, EngineError>) -> FromWorker {
    let ended = Ended {
        result,
        usage: Usage {
            fuel: u64::MAX,
            ..Usage::default()
        },
        logs: Logs {
            stdout: "out".into(),
            stderr: "err".into(),
            dropped_bytes: 3,
        },
        tape: vec![1, 0],
    };
    FromWorker::Ended {
        id: 9,
        ended: Box::new(ended),
    }
}

fn shown(thing: &impl std::fmt::Debug) -> String {
    format!("{thing:?}")
}

#[test]
fn whatever_a_host_says_is_read_as_it_was_said_and_cut_short_is_refused() {
    let rest = Map::from_iter([("a".to_string(), json!([1, -1, 0.1, null, "x"]))]);
    let context = Context {
        unix_ns: 5,
        seed: [7; 32],
        replay: Some(vec![1, 0]),
    };
    let raw = Input::Bytes {
        bytes: Bytes::from_static(b"\0\xff"),
        rest: rest.clone(),
    };
    let start = Start {
        tick_us: 2_000,
        calls_max: 4,
        ceiling: Limits::CEILING,
        memory_bytes_max: 1 << 30,
    };
    let about = About {
        interface: Interface::default(),
        determinism: Determinism::D0BitExact,
    };
    let load = ToWorker::Load {
        slot: 4,
        about: Box::new(about),
        code: Bytes::from_static(b"code"),
    };
    let probe = ToWorker::Probe {
        id: 1,
        slot: 2,
        limits: Limits::default(),
    };
    let all = [
        ToWorker::Start(start),
        load,
        ToWorker::Check { id: 1, slot: 0 },
        probe,
        call(Input::Json(rest), None),
        call(raw, Some(context)),
        ToWorker::Cancel { id: u64::MAX },
        ToWorker::Fence { slot: 3 },
        ToWorker::Unload { slot: 3 },
    ];
    for one in all {
        let words = shown(&one);
        let frame = one.frame();
        for cut in 0..frame.head.len() {
            let head = frame.head[..cut].to_vec();
            let body = frame.body.clone();
            assert!(ToWorker::read(Frame { head, body }).is_err(), "{words} cut at {cut}");
        }
        assert_eq!(shown(&ToWorker::read(frame).unwrap()), words);
    }
}

#[test]
fn whatever_a_worker_says_is_read_as_it_was_said_and_cut_short_is_refused() {
    let refused = EngineError::Exited { status: -1 };
    let all = [
        FromWorker::Ready {
            missing: vec!["a: b".into()],
        },
        FromWorker::Done {
            id: 1,
            result: Err(EngineError::NotAComponent {}),
        },
        FromWorker::Done { id: 1, result: Ok(()) },
        outcome(Ok(Answer::Ok(Output::Json(json!({ "n": 1.5 }))))),
        outcome(Ok(Answer::Err(Output::Json(json!(null))))),
        outcome(Ok(Answer::Ok(Output::Bytes(vec![0, 255])))),
        outcome(Err(refused)),
    ];
    for one in all {
        let words = shown(&one);
        let frame = one.frame();
        for cut in 0..frame.head.len() {
            let head = frame.head[..cut].to_vec();
            let body = frame.body.clone();
            assert!(FromWorker::read(Frame { head, body }).is_err(), "{words} cut at {cut}");
        }
        assert_eq!(shown(&FromWorker::read(frame).unwrap()), words);
    }
}
