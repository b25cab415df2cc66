//! What is said is read as it was said.

use super::*;
use crate::Output;
use crate::worker::asking::{Question, Told};
use proptest::prelude::*;
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

fn tell(told: Told) -> ToWorker {
    let answer = ImportAnswer { host_bytes: 7, told };
    ToWorker::Tell {
        id: 3,
        answer: Box::new(answer),
    }
}

fn ask(question: Question) -> FromWorker {
    let call = ImportCall {
        virtual_ns: Some(5),
        host_bytes: 6,
        question,
    };
    FromWorker::Ask {
        id: 4,
        call: Box::new(call),
    }
}

fn shown(thing: &impl std::fmt::Debug) -> String {
    format!("{thing:?}")
}

/// Read back it is what it was, and cut short it is refused.
fn is_read_as_said<T: std::fmt::Debug>(
    one: T,
    written: impl Fn(T) -> Frame,
    read: impl Fn(Frame) -> Result<T, Malformed>,
) {
    let words = shown(&one);
    let frame = written(one);
    for cut in 0..frame.head.len() {
        let head = frame.head[..cut].to_vec();
        let body = frame.body.clone();
        assert!(read(Frame { head, body }).is_err(), "{words} cut at {cut}");
    }
    assert_eq!(shown(&read(frame).unwrap()), words);
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
        peers: vec!["acme:db/query@1.2.0".into()],
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
        tell(Told::Bytes(Bytes::from_static(b"\0\xff"))),
        tell(Told::Answer(Answer::Err(Output::Json(json!([0.1]))))),
        tell(Told::Answer(Answer::Ok(Output::Bytes(vec![255])))),
        tell(Told::Go),
        tell(Told::Over),
        ToWorker::Cancel { id: u64::MAX },
        ToWorker::Fence { slot: 3 },
        ToWorker::Unload { slot: 3 },
    ];
    for one in all {
        is_read_as_said(one, ToWorker::frame, ToWorker::read);
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
        ask(Question::Provider {
            interface: "kinetic:state/store".into(),
            function: "get".into(),
            asked: Bytes::from_static(b"\0\xff"),
        }),
        ask(Question::Peer {
            import: "acme:db/query@1.2.0".into(),
            export: "run".into(),
            input: Input::Json(Map::from_iter([("text".to_string(), json!("x"))])),
        }),
        ask(Question::Wait {
            function: "poll".into(),
            asked: Bytes::from_static(b"1"),
        }),
        ask(Question::Waited {
            answer: Bytes::from_static(b"2"),
        }),
        FromWorker::Cancelled { id: 1 },
    ];
    for one in all {
        is_read_as_said(one, FromWorker::frame, FromWorker::read);
    }
}

proptest! {
    #[test]
    fn any_frame_at_all_is_read_or_refused_on_both_sides(
        kind in any::<u8>(),
        head in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let frame = || Frame { head: [[kind].as_slice(), head.as_slice()].concat(), body: body.clone().into() };
        let _ = FromWorker::read(frame());
        let _ = ToWorker::read(frame());
    }

    #[test]
    fn a_question_with_one_byte_changed_is_read_as_some_question_or_refused(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let input = Input::Json(Map::from_iter([("a".to_string(), json!([1, "x", null]))]));
        let question = Question::Peer { import: "a:b/c@1.0.0".into(), export: "f".into(), input };
        let mut frame = ask(question).frame();
        let at = at.index(frame.head.len());
        frame.head[at] = byte;
        let _ = FromWorker::read(frame);
    }
}
