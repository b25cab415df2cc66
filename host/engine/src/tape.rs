//! The tape: what host calls of a replayable call were asked and answered, written while it runs or read back in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kinetic_model::Digest;
use parking_lot::Mutex;

use crate::{EngineError, HostBytes};

/// What an exchange is counted as beside its response, in bytes.
const EXCHANGE_BYTES: usize = 128;

/// One host call of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The interface, `wasi:http/outgoing-handler`.
    pub interface: String,
    /// The function, `handle`.
    pub function: String,
    /// The digest of what was asked; 32 zeros where the call ended, or gave up, before all of it was known and answered.
    pub request: Digest,
    /// What was answered, in the provider's own encoding.
    pub response: Vec<u8>,
}

impl Exchange {
    const UNANSWERED: Digest = Digest::from_bytes([0; 32]);

    /// Whether an answer came while somebody waited for it.
    pub fn is_answered(&self) -> bool {
        self.request != Self::UNANSWERED
    }
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            interface, function, ..
        } = self;
        if self.is_answered() {
            f.write_str(&asked(interface, function, self.request))
        } else {
            write!(f, "{interface}.{function}, never answered")
        }
    }
}

fn asked(interface: &str, function: &str, request: Digest) -> String {
    format!("{interface}.{function} asked with {request}")
}

/// What a provider does with a host call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Answer with these bytes, recorded before, and touch nothing.
    Answer(Vec<u8>),
    /// Go and do it, then record the answer.
    Do,
}

/// The tape of one call. Off (for D2 and NX capsules) it holds nothing and costs nothing; a clone is the same tape.
///
/// A provider that answers at once calls [`Tape::begin`], and after [`Turn::Do`] [`Tape::record`]. One that answers
/// later, while the guest goes on, reserves a [`Slot`] when it is called, so that the order is the guest's own.
/// After an error from here nothing else counts: the call ends with it, whatever the provider tells the guest.
#[derive(Clone, Debug, Default)]
pub struct Tape(Option<Arc<Reel>>);

#[derive(Debug)]
struct Reel {
    host_bytes: Arc<HostBytes>,
    bytes_max: u64,
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    replaying: bool,
    exchanges: Vec<Exchange>,
    /// Exchanges begun; when recording, as many as there are.
    begun: usize,
    /// The exchange that `record` answers.
    open: Option<(usize, Digest)>,
    failure: Option<EngineError>,
}

impl Tape {
    pub(crate) fn new(host_bytes: Arc<HostBytes>, bytes_max: u64, replay: Option<Vec<Exchange>>) -> Self {
        Self(Some(Arc::new(Reel {
            host_bytes,
            bytes_max,
            failed: AtomicBool::new(false),
            state: Mutex::new(State {
                replaying: replay.is_some(),
                exchanges: replay.unwrap_or_default(),
                begun: 0,
                open: None,
                failure: None,
            }),
        })))
    }

    /// Whether there is anything to do: with a tape that is off a provider need not even encode its request.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Asks what to do with a host call, by the bytes that say all of what it asks.
    ///
    /// # Errors
    /// `Diverged` when a replay has another call here, or none; `TapeTooLong`.
    pub fn begin(&self, interface: &str, function: &str, request: &[u8]) -> Result<Turn, EngineError> {
        let Some(reel) = &self.0 else { return Ok(Turn::Do) };
        let index = reel.reserve(interface, function);
        let digest = Digest::of(request);
        match reel.turn(index, interface, function, digest)? {
            Some(turn) => {
                reel.state.lock().open = Some((index, digest));
                Ok(turn)
            }
            None => {
                let found = asked(interface, function, digest);
                Err(reel.diverged(index, found))
            }
        }
    }

    /// Records the answer to the call begun last; does nothing when off or replaying.
    ///
    /// # Errors
    /// `TapeTooLong`.
    pub fn record(&self, response: Vec<u8>) -> Result<(), EngineError> {
        let Some(reel) = &self.0 else { return Ok(()) };
        let open = reel.state.lock().open.take();
        match open {
            Some((index, digest)) => reel.answer(index, digest, response),
            None => Ok(()),
        }
    }

    /// Takes the next place on the tape for a host call whose answer comes later; none when off.
    pub fn reserve(&self, interface: &'static str, function: &'static str) -> Option<Slot> {
        self.0.clone().map(|reel| Slot {
            index: reel.reserve(interface, function),
            interface,
            function,
            request: None,
            reel,
        })
    }

    /// Whether the call must end.
    pub(crate) fn failed(&self) -> bool {
        self.0.as_ref().is_some_and(|reel| reel.failed.load(Ordering::Relaxed))
    }

    /// The tape's end: what was recorded or replayed, and what must be the call's error. Late answers go nowhere.
    pub(crate) fn finish(&self, answered: bool) -> (Vec<Exchange>, Option<EngineError>) {
        let Some(reel) = &self.0 else {
            return (Vec::new(), None);
        };
        let mut state = reel.state.lock();
        let mut failure = state.failure.take();
        if let Some(left) = state.exchanges.get(state.begun)
            && answered
            && failure.is_none()
        {
            failure = Some(EngineError::Diverged {
                at_exchange: state.begun as u64,
                expected: left.to_string(),
                found: "the end of the call".into(),
            });
        }
        let mut exchanges = std::mem::take(&mut state.exchanges);
        exchanges.truncate(state.begun);
        (exchanges, failure)
    }
}

impl Reel {
    fn reserve(&self, interface: &str, function: &str) -> usize {
        if self.host_bytes.spend(EXCHANGE_BYTES).is_err() {
            self.too_long();
        }
        let mut state = self.state.lock();
        let index = state.begun;
        state.begun += 1;
        if !state.replaying {
            state.exchanges.push(Exchange {
                interface: interface.into(),
                function: function.into(),
                request: Exchange::UNANSWERED,
                response: Vec::new(),
            });
        }
        index
    }

    /// What to do at a place; nothing where the recording has no answer there.
    fn turn(
        &self,
        index: usize,
        interface: &str,
        function: &str,
        request: Digest,
    ) -> Result<Option<Turn>, EngineError> {
        let state = self.state.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        if !state.replaying {
            return Ok(Some(Turn::Do));
        }
        let expected = state.exchanges.get(index);
        let same_function = |one: &&Exchange| one.interface == interface && one.function == function;
        let turn = match expected.filter(same_function) {
            Some(one) if !one.is_answered() => return Ok(None),
            Some(one) if one.request == request => one.response.clone(),
            _ => {
                drop(state);
                let found = asked(interface, function, request);
                return Err(self.diverged(index, found));
            }
        };
        drop(state);
        self.spend(turn.len())?;
        Ok(Some(Turn::Answer(turn)))
    }

    fn answer(&self, index: usize, request: Digest, response: Vec<u8>) -> Result<(), EngineError> {
        if self.state.lock().replaying {
            return Ok(());
        }
        self.spend(response.len())?;
        if let Some(exchange) = self.state.lock().exchanges.get_mut(index) {
            (exchange.request, exchange.response) = (request, response);
        }
        Ok(())
    }

    fn spend(&self, bytes: usize) -> Result<(), EngineError> {
        self.host_bytes.spend(bytes).map_err(|_| self.too_long())
    }

    fn diverged(&self, index: usize, found: String) -> EngineError {
        let expected = match self.state.lock().exchanges.get(index) {
            Some(exchange) => exchange.to_string(),
            None => "no more host calls".into(),
        };
        self.fail(EngineError::Diverged {
            at_exchange: index as u64,
            expected,
            found,
        })
    }

    fn too_long(&self) -> EngineError {
        self.fail(EngineError::TapeTooLong {
            bytes_max: self.bytes_max,
        })
    }

    /// The first failure is the call's.
    fn fail(&self, error: EngineError) -> EngineError {
        let mut state = self.state.lock();
        let first = state.failure.get_or_insert(error).clone();
        self.failed.store(true, Ordering::Relaxed);
        first
    }
}

/// A place on the tape for one host call that is answered later.
#[derive(Debug)]
pub struct Slot {
    reel: Arc<Reel>,
    index: usize,
    interface: &'static str,
    function: &'static str,
    request: Option<Digest>,
}

impl Slot {
    /// Asks what to do, once all of the request is known. Where the recording has no answer this waits for ever, as
    /// the recorded call did until it gave up or ended.
    ///
    /// # Errors
    /// As [`Tape::begin`].
    pub async fn begin(&mut self, request: &[u8]) -> Result<Turn, EngineError> {
        let digest = Digest::of(request);
        self.request = Some(digest);
        match self.reel.turn(self.index, self.interface, self.function, digest)? {
            Some(turn) => Ok(turn),
            None => std::future::pending().await,
        }
    }

    /// How many bytes of an answer the tape still takes.
    pub fn room_bytes(&self) -> u64 {
        self.reel.host_bytes.left()
    }

    /// Ends the call because the answer is larger than that; gives the error to stop with.
    pub fn too_long(&self) -> EngineError {
        self.reel.too_long()
    }

    /// Records the answer; does nothing when replaying, or after the call has ended.
    ///
    /// # Errors
    /// `TapeTooLong`.
    pub fn record(self, response: Vec<u8>) -> Result<(), EngineError> {
        match self.request {
            Some(request) => self.reel.answer(self.index, request, response),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(bytes_max: u64, replay: Option<Vec<Exchange>>) -> Tape {
        Tape::new(Arc::new(HostBytes::new(bytes_max)), bytes_max, replay)
    }

    fn recorded() -> Vec<Exchange> {
        let tape = tape(10_000, None);
        for n in 0..3_u8 {
            assert_eq!(tape.begin("a:b/c", "f", &[n]), Ok(Turn::Do));
            tape.record(vec![n, n]).unwrap();
        }
        tape.finish(true).0
    }

    #[test]
    fn a_tape_that_is_off_lets_everything_through_and_keeps_nothing() {
        let tape = Tape::default();
        assert_eq!(tape.begin("a:b/c", "f", b"x"), Ok(Turn::Do));
        tape.record(b"y".to_vec()).unwrap();
        assert!(tape.reserve("a:b/c", "f").is_none());
        assert_eq!(tape.finish(true), (vec![], None));
    }

    #[test]
    fn a_replay_answers_what_was_recorded_and_is_itself_the_same_tape() {
        let replay = tape(10_000, Some(recorded()));
        for n in 0..3_u8 {
            assert_eq!(replay.begin("a:b/c", "f", &[n]), Ok(Turn::Answer(vec![n, n])));
            replay.record(vec![9]).unwrap();
        }
        assert_eq!(replay.finish(true), (recorded(), None));
    }

    #[test]
    fn another_request_another_function_one_too_many_and_one_too_few_diverge_naming_the_exchange() {
        let at = |error: EngineError| match error {
            EngineError::Diverged { at_exchange, .. } => at_exchange,
            other => panic!("{other}"),
        };
        let other = tape(10_000, Some(recorded()));
        other.begin("a:b/c", "f", &[0]).unwrap();
        assert_eq!(at(other.begin("a:b/c", "f", &[7]).unwrap_err()), 1);
        assert!(other.failed());
        assert_eq!(
            at(other.begin("a:b/c", "f", &[2]).unwrap_err()),
            1,
            "the first failure stays"
        );
        let function = tape(10_000, Some(recorded()));
        assert_eq!(at(function.begin("a:b/c", "g", &[0]).unwrap_err()), 0);
        let many = tape(10_000, Some(vec![]));
        assert_eq!(at(many.begin("a:b/c", "f", &[0]).unwrap_err()), 0);
        let few = tape(10_000, Some(recorded()));
        few.begin("a:b/c", "f", &[0]).unwrap();
        assert_eq!(at(few.finish(true).1.unwrap()), 1);
    }

    #[test]
    fn a_recording_longer_than_its_limit_ends_the_call() {
        let tape = tape(1_000, None);
        tape.begin("a:b/c", "f", b"x").unwrap();
        let error = tape.record(vec![0; 1_000]).unwrap_err();
        assert_eq!(error, EngineError::TapeTooLong { bytes_max: 1_000 });
        assert_eq!(tape.finish(true).1, Some(error));
    }

    #[tokio::test]
    async fn answers_that_come_in_another_order_stand_in_the_order_of_the_calls() {
        let tape = tape(10_000, None);
        let mut first = tape.reserve("a:b/c", "f").unwrap();
        let mut second = tape.reserve("a:b/c", "f").unwrap();
        let third = tape.reserve("a:b/c", "f").unwrap();
        second.begin(b"2").await.unwrap();
        second.record(b"two".to_vec()).unwrap();
        first.begin(b"1").await.unwrap();
        first.record(b"one".to_vec()).unwrap();
        drop(third);
        let (exchanges, _) = tape.finish(true);
        let responses: Vec<_> = exchanges.iter().map(|one| one.response.as_slice()).collect();
        assert_eq!(responses, [b"one".as_slice(), b"two", b""]);
        assert!(!exchanges[2].is_answered());
    }
}
