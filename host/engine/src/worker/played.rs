//! A guest that imports from its host, in the host's process and in a worker; and workers that lie. The workers are this
//! test's own program, started again.

mod book;
mod peers;

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kinetic_model::{Determinism, Digest, ImportGrant, Limits, TrustZone};
use serde_json::{Map, Value, json};
use tokio::net::UnixStream;

use self::book::{BOOK, Book, Noted, reader};
use self::peers::{asking, doubles, instead, spinning};
use super::asking::{ImportCall, Question};
use super::frame::{Frame, TO_WORKER_BYTES_MAX};
use super::protocol::{Ended, FromWorker, ToWorker};
use super::{RunIn, RunsIn, WorkerConfig, worker_main};
use crate::{
    Admit, Answer, CallContext, Capability, Engine, EngineConfig, EngineError, Grantee, Input, Logs, Outcome, Output,
    Peer, PeerCalls, cross,
};

const HONEST: &str = "played-by-an-honest-worker";
const LYING: &str = "played-by-a-worker-that-lies";

/// Runs a test; in a process that was started as its worker, plays that instead. Without a runtime around it: a worker has
/// its own.
fn test(part: &str, work: impl Future<Output = ()>) {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap()
    };
    if !std::env::args().any(|argument| argument == part) {
        runtime().block_on(work);
    } else if part == HONEST {
        play_honestly();
    } else {
        runtime().block_on(play_a_liar());
    }
}

fn engine(run_in: RunIn, test: &str, part: &str) -> (Engine, Arc<AtomicU32>) {
    let workers = WorkerConfig {
        program: std::env::current_exe().unwrap(),
        args: vec![
            "--nocapture".into(),
            "--test-threads=1".into(),
            test.into(),
            part.into(),
        ],
        ephemeral: run_in,
        ..WorkerConfig::default()
    };
    let config = EngineConfig {
        pool_instances: 8,
        workers: Some(workers),
        ..EngineConfig::default()
    };
    let open = Arc::new(AtomicU32::new(0));
    let book = Book { open: open.clone() };
    (Engine::new(config, vec![Arc::new(book)]).unwrap(), open)
}

async fn load(engine: &Engine, determinism: Determinism) -> Capability {
    admitted(engine, determinism).await.unwrap()
}

async fn admitted(engine: &Engine, determinism: Determinism) -> Result<Capability, EngineError> {
    admitted_as(engine, determinism, &reader()).await
}

async fn admitted_as(engine: &Engine, determinism: Determinism, bytes: &[u8]) -> Result<Capability, EngineError> {
    admitted_with(engine, determinism, bytes, doubles()).await
}

async fn admitted_with(
    engine: &Engine,
    determinism: Determinism,
    bytes: &[u8],
    peer: Arc<dyn Peer>,
) -> Result<Capability, EngineError> {
    let capsule = Grantee {
        determinism,
        ..Grantee::unnamed(Digest::of(bytes)).unwrap()
    };
    let grant = ImportGrant {
        interface: BOOK.into(),
        ..ImportGrant::default()
    };
    let limits = Limits {
        wall_time_ms: 60_000,
        ..Limits::default()
    };
    let admit = Admit {
        capsule: &capsule,
        grants: &[grant],
        peers: &[peer],
        limits: &limits,
    };
    Ok(engine.load(bytes, admit).await?.0)
}

async fn call(guest: &Capability, function: &str, arguments: &Value, context: CallContext) -> Outcome {
    let arguments: Map<String, Value> = arguments.as_object().unwrap().clone();
    guest.call_with(Some(function), Input::Json(arguments), context).await
}

fn assert_same(what: &str, here: &mut Outcome, there: &mut Outcome) {
    assert_eq!(here.result, there.result, "{what}");
    assert_eq!(here.tape, there.tape, "{what}");
    for outcome in [&mut *here, &mut *there] {
        (outcome.usage.wall_time_ns, outcome.usage.guest_time_ns) = (0, 0);
    }
    assert_eq!(here.usage, there.usage, "{what}");
    let noted = |outcome: &mut Outcome| outcome.extensions.take::<Noted>().map(|noted| noted.0);
    assert_eq!(noted(here), noted(there), "{what}");
}

#[test]
fn what_a_guest_imports_is_the_same_in_a_worker_and_stays_with_the_call_in_the_host() {
    test(HONEST, async {
        let test = "what_a_guest_imports_is_the_same_in_a_worker";
        let (here, _) = engine(RunIn::Process, test, HONEST);
        let (there, _) = engine(RunIn::WorkerOnly, test, HONEST);
        for determinism in [Determinism::D0BitExact, Determinism::NxExperimental] {
            let (ours, theirs) = (load(&here, determinism).await, load(&there, determinism).await);
            assert_eq!((ours.runs_in(), theirs.runs_in()), (RunsIn::Process, RunsIn::Worker));
            for (function, arguments) in [
                ("notes", json!({ "one": 3, "two": 4 })),
                ("notes", json!({ "one": 3, "two": 13 })),
                ("reads", json!({ "page": 5, "keeps": 0 })),
                ("reads", json!({ "page": 5, "keeps": 1 })),
                ("notes-and-traps", json!({ "number": 8 })),
            ] {
                let mut one = call(&ours, function, &arguments, CallContext::default()).await;
                let mut two = call(&theirs, function, &arguments, CallContext::default()).await;
                assert_same(&format!("{function} {arguments} {determinism:?}"), &mut one, &mut two);
            }
        }
    });
}

#[test]
fn a_recording_answers_a_guest_in_a_worker_and_a_limit_on_host_bytes_ends_it_there_too() {
    test(HONEST, async {
        let (engine, _) = engine(RunIn::WorkerOnly, "a_recording_answers_a_guest_in_a_worker", HONEST);
        let guest = load(&engine, Determinism::D0BitExact).await;
        let arguments = json!({ "one": 3, "two": 4 });
        let recorded = call(&guest, "notes", &arguments, CallContext::default()).await;
        assert_eq!(recorded.tape.len(), 2);
        let replay = |tape: Vec<crate::Exchange>| CallContext {
            replay: Some(tape),
            ..CallContext::default()
        };
        let mut again = call(&guest, "notes", &arguments, replay(recorded.tape.clone())).await;
        assert_eq!(again.result, recorded.result);
        assert!(again.extensions.take::<Noted>().is_none(), "a replay notes nothing");
        let other = json!({ "one": 3, "two": 5 });
        let diverged = call(&guest, "notes", &other, replay(recorded.tape)).await.result;
        assert!(matches!(diverged, Err(EngineError::Diverged { .. })), "{diverged:?}");
        let narrow = guest.with_limits(Limits {
            host_call_bytes: 200,
            ..Limits::default()
        });
        let ended = call(&narrow, "notes", &arguments, CallContext::default()).await.result;
        assert!(
            matches!(ended, Err(EngineError::TapeTooLong { bytes_max: 200 })),
            "{ended:?}"
        );
    });
}

#[test]
fn another_capsule_answers_a_guest_in_a_worker_as_it_answers_one_here() {
    test(HONEST, async {
        let test = "another_capsule_answers_a_guest_in_a_worker";
        let (here, _) = engine(RunIn::Process, test, HONEST);
        let (there, _) = engine(RunIn::WorkerOnly, test, HONEST);
        for determinism in [Determinism::D0BitExact, Determinism::NxExperimental] {
            let ours = admitted_as(&here, determinism, &asking()).await.unwrap();
            let theirs = admitted_as(&there, determinism, &asking()).await.unwrap();
            assert_eq!((ours.runs_in(), theirs.runs_in()), (RunsIn::Process, RunsIn::Worker));
            for number in [4, 13] {
                let arguments = json!({ "number": number });
                let mut one = call(&ours, "asks", &arguments, CallContext::default()).await;
                let mut two = call(&theirs, "asks", &arguments, CallContext::default()).await;
                let notes = [&mut one, &mut two].map(|outcome| {
                    let calls = outcome.extensions.take::<PeerCalls>().unwrap();
                    (calls.count(), calls.first().to_vec(), calls.digest())
                });
                assert_eq!(notes[0], notes[1], "{number}");
                let fails = matches!(&two.result, Err(EngineError::PeerFailed { code, .. }) if code == "KIN-ENG-0020");
                assert_eq!(fails, number == 13, "{two:?}");
                assert_same(&format!("{number} {determinism:?}"), &mut one, &mut two);
            }
        }
    });
}

#[test]
fn a_capsule_here_that_one_in_a_worker_calls_is_looked_at_as_any_is() {
    test(HONEST, async {
        let test = "a_capsule_here_that_one_in_a_worker_calls";
        let (engine, _) = engine(RunIn::WorkerOnly, test, HONEST);
        let bytes = spinning();
        let capsule = Grantee {
            trust_zone: TrustZone::System,
            ..Grantee::unnamed(Digest::of(&bytes)).unwrap()
        };
        // Were it not looked at, its fuel would end it, after many times as long.
        let limits = Limits {
            guest_time_ms: 20,
            fuel: 5_000_000_000,
            ..Limits::default()
        };
        let admit = Admit {
            capsule: &capsule,
            grants: &[],
            peers: &[],
            limits: &limits,
        };
        let (spinner, _) = engine.load(&bytes, admit).await.unwrap();
        assert_eq!(spinner.runs_in(), RunsIn::Process);
        let guest = admitted_with(&engine, Determinism::NxExperimental, &asking(), instead(spinner)).await;
        let guest = guest.unwrap();
        assert_eq!(guest.runs_in(), RunsIn::Worker);
        // By then nobody looks at anything any more, until somebody has to.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = call(&guest, "asks", &json!({ "number": 1 }), CallContext::default()).await;
        let Err(EngineError::PeerFailed { code, .. }) = &asked.result else {
            panic!("{asked:?}")
        };
        // Its time was over, and not its fuel.
        assert_eq!(code, "KIN-ENG-0016", "{asked:?}");
    });
}

#[test]
fn where_no_worker_starts_a_capsule_runs_in_the_host_unless_its_zone_insists() {
    test(HONEST, async {
        for (run_in, runs) in [(RunIn::Worker, true), (RunIn::WorkerOnly, false)] {
            let workers = WorkerConfig {
                program: "/nowhere/kinetic".into(),
                ephemeral: run_in,
                ..WorkerConfig::default()
            };
            let config = EngineConfig {
                pool_instances: 8,
                workers: Some(workers),
                ..EngineConfig::default()
            };
            let open = Arc::default();
            let engine = Engine::new(config, vec![Arc::new(Book { open })]).unwrap();
            // More often than a process that dies is started again without a wait.
            for _ in 0..8 {
                match admitted(&engine, Determinism::NxExperimental).await {
                    Ok(guest) => assert!(runs && guest.runs_in() == RunsIn::Process),
                    Err(error) => assert!(
                        !runs
                            && matches!(
                                error,
                                EngineError::WorkerNotStarted { .. } | EngineError::WorkerRestarting { .. }
                            ),
                        "{error}"
                    ),
                }
            }
        }
    });
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_worker_killed_in_a_host_call_and_a_caller_that_goes_away_end_the_host_call() {
    test(HONEST, async {
        let (engine, open) = engine(RunIn::WorkerOnly, "a_worker_killed_in_a_host_call", HONEST);
        let guest = load(&engine, Determinism::NxExperimental).await;
        let waiting = |guest: Capability| {
            tokio::spawn(async move {
                let arguments = json!({ "one": 3, "two": 99 });
                call(&guest, "notes", &arguments, CallContext::default()).await
            })
        };
        let killed = waiting(guest.clone());
        until("the host call begins", || open.load(Ordering::SeqCst) == 1).await;
        let process = engine.workers()[0].process_id.unwrap().to_string();
        let sent = std::process::Command::new("kill").args(["-KILL", &process]).status();
        assert!(sent.unwrap().success());
        let outcome = killed.await.unwrap();
        assert!(
            matches!(&outcome.result, Err(EngineError::WorkerDied { why }) if why == "signal 9"),
            "{outcome:?}"
        );
        assert_eq!(open.load(Ordering::SeqCst), 0);
        let left = waiting(guest.clone());
        until("the next one begins", || open.load(Ordering::SeqCst) == 1).await;
        left.abort();
        until("it is dropped", || open.load(Ordering::SeqCst) == 0).await;
        // The process of a caller that went is nobody's fault: it goes on.
        let process = engine.workers()[0].process_id;
        let next = call(&guest, "notes", &json!({ "one": 1, "two": 1 }), CallContext::default()).await;
        assert_eq!(next.result, Ok(Answer::Ok(Output::Json(json!(2)))));
        assert_eq!(engine.workers()[0].process_id, process);
    });
}

#[test]
fn a_worker_that_asks_what_no_worker_asks_is_ended_and_its_call_fails() {
    test(LYING, async {
        let (engine, _) = engine(RunIn::WorkerOnly, "a_worker_that_asks_what_no_worker_asks", LYING);
        let guest = load(&engine, Determinism::NxExperimental).await;
        for (lie, said) in [
            (1, "does not import"),
            (2, "does not import"),
            (3, "does not import"),
            (4, "a call that it does not run"),
            (5, "before its last question was answered"),
            (6, "cannot be read"),
            (7, "a handle that its call does not have"),
            (8, "bytes, and its call may"),
            (9, "what nobody asked"),
            (10, "and it was not"),
            (11, "said twice"),
            (12, "which there is not"),
            (13, "cannot be read"),
            (14, "whose last question was not answered"),
        ] {
            let outcome = call(
                &guest,
                "notes",
                &json!({ "one": lie, "two": 0 }),
                CallContext::default(),
            )
            .await;
            let Err(EngineError::WorkerMisbehaved { why }) = &outcome.result else {
                panic!("lie {lie}: {outcome:?}")
            };
            assert!(why.contains(said), "lie {lie}: {why}");
            // After the second death a fresh process is started only after a while.
            until("a process may be started again", || engine.workers().is_empty()).await;
            engine.forgive_workers();
        }
    });
}

#[test]
fn a_worker_that_goes_on_asking_for_a_cancelled_call_is_ended() {
    test(LYING, async {
        let (engine, _) = engine(RunIn::WorkerOnly, "a_worker_that_goes_on_asking", LYING);
        let guest = load(&engine, Determinism::NxExperimental).await;
        let waiting = tokio::spawn(async move {
            let silent = json!({ "one": 15, "two": 0 });
            call(&guest, "notes", &silent, CallContext::default()).await
        });
        let is_there = || engine.workers().first().is_some_and(|worker| worker.calls == 1);
        until("the call is there", is_there).await;
        waiting.abort();
        until("the process is ended", || engine.workers().is_empty()).await;
    });
}

/// This process is a worker as the host's own program is one. It does not return.
fn play_honestly() {
    let book = Book {
        open: Arc::new(AtomicU32::new(0)),
    };
    worker_main(vec![Arc::new(book)]).unwrap();
}

/// This process says that it is a worker, and answers a call with the lie it is asked for.
async fn play_a_liar() {
    let stream = StdUnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    stream.set_nonblocking(true).unwrap();
    let mut socket = UnixStream::from_std(stream).unwrap();
    while let Some(frame) = Frame::receive(&mut socket, TO_WORKER_BYTES_MAX).await.unwrap() {
        let said = match ToWorker::read(frame).unwrap() {
            ToWorker::Start(_) => vec![ready()],
            ToWorker::Check { id, .. } => vec![FromWorker::Done { id, result: Ok(()) }.frame()],
            ToWorker::Call { id, call, .. } => {
                let Input::Json(given) = call.input else {
                    panic!("no bytes")
                };
                lie(id, given["one"].as_u64().unwrap(), call.limits.host_call_bytes)
            }
            ToWorker::Cancel { id } => (0..3)
                .map(|_| asks(id, BOOK, "note", cross(&(1_u32,)).unwrap()))
                .collect(),
            _ => Vec::new(),
        };
        for frame in said {
            // A host that has heard enough closes.
            if frame.send(&mut socket).await.is_err() {
                std::process::exit(0);
            }
        }
    }
    std::process::exit(0);
}

fn ready() -> Frame {
    FromWorker::Ready { missing: Vec::new() }.frame()
}

fn asks(id: u64, interface: &str, function: &str, asked: Vec<u8>) -> Frame {
    let call = ImportCall {
        virtual_ns: None,
        host_bytes: 0,
        question: Question::Provider {
            interface: interface.into(),
            function: function.into(),
            asked: asked.into(),
        },
    };
    let call = Box::new(call);
    FromWorker::Ask { id, call }.frame()
}

fn lie(id: u64, lie: u64, host_call_bytes: u64) -> Vec<Frame> {
    let noted = |number: u32| cross(&(number,)).unwrap();
    let page = |number: u32| cross(&number).unwrap();
    match lie {
        1 => vec![asks(id, "kinetic:state/store", "get", noted(1))],
        2 => vec![asks(id, BOOK, "burn", noted(1))],
        3 => {
            let question = Question::Peer {
                import: "tests:host/book@1.0.0".into(),
                export: "note".into(),
                input: Input::Json(Map::new()),
            };
            let call = Box::new(ImportCall {
                virtual_ns: None,
                host_bytes: 0,
                question,
            });
            vec![FromWorker::Ask { id, call }.frame()]
        }
        4 => vec![asks(id + 1_000, BOOK, "note", noted(1))],
        5 => vec![asks(id, BOOK, "note", noted(99)), asks(id, BOOK, "note", noted(1))],
        6 => vec![asks(id, BOOK, "note", vec![0xff; 20])],
        7 => vec![asks(id, BOOK, "[method]page.number", page(40))],
        8 => {
            let bytes = usize::try_from(host_call_bytes * 5).unwrap();
            vec![asks(id, BOOK, "note", vec![0; bytes])]
        }
        9 => vec![ended(id + 1_000)],
        10 => vec![FromWorker::Cancelled { id }.frame()],
        11 => vec![ready()],
        12 => vec![asks(id, BOOK, "[resource-drop]shelf", page(1))],
        15 => Vec::new(),
        14 => vec![asks(id, BOOK, "note", noted(99)), ended(id)],
        _ => vec![Frame {
            head: vec![200, 1, 2],
            body: Bytes::new(),
        }],
    }
}

fn ended(id: u64) -> Frame {
    let ended = Box::new(Ended {
        result: Ok(Answer::Ok(Output::Json(Value::Null))),
        usage: kinetic_model::Usage::default(),
        logs: Logs::default(),
        tape: crate::encode_tape(&[]),
    });
    FromWorker::Ended { id, ended }.frame()
}
