//! What a store carries for one call: meters, clocks, handles, and the inert WASI context made only when asked for.

use std::any::Any;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kinetic_model::Limits;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::clock::GuestClock;
use crate::fence::Fence;
use crate::host_bytes::HostBytes;
use crate::limiter::MemoryMeter;
use crate::logs::{LogBuffer, LogStream, Logs, SharedLogs};
use crate::profile::Profile;
use crate::tape::{Exchange, Tape};
use crate::virtual_time::{Origin, VirtualTime};
use crate::{CallContext, EngineError, Extensions, Within};

/// The most random bytes one call of wasi:random may ask for.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Where control was last seen; tells a limit tripped in a host call from one tripped while lifting results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In the guest, or in a host function it called.
    Guest,
    /// The guest has returned; its results are being read.
    Results,
}

/// The data of a store. Providers reach their own part through [`CallState::extension`].
pub struct CallState {
    pub(crate) memory: MemoryMeter,
    pub(crate) clock: GuestClock,
    pub(crate) phase: Phase,
    pub(crate) limits: Limits,
    fence: Arc<Fence>,
    outlasts_fence: bool,
    table: ResourceTable,
    host: Option<Box<HostSide>>,
    extensions: Extensions,
    profile: Profile,
    origin: Option<Origin>,
    within: Within,
    pending_tape: PendingTape,
    tape: Tape,
}

/// What the tape will be at the first host call that asks for it.
enum PendingTape {
    Off,
    Record,
    Replay(Vec<Exchange>),
}

/// Made at the first host call: a call that needs no host pays nothing for it.
struct HostSide {
    wasi: WasiCtx,
    logs: SharedLogs,
    host_bytes: Arc<HostBytes>,
    time: Option<VirtualTime>,
}

impl CallState {
    /// The state of a call; without a context, of one that nobody will replay.
    pub(crate) fn new(limits: Limits, profile: Profile, fence: Arc<Fence>, context: Option<CallContext>) -> Self {
        let (origin, replay, extensions) = match context {
            None => (None, None, Extensions::default()),
            Some(context) => {
                let (unix_ns, seed) = (context.unix_ns, Some(context.seed));
                (Some(Origin { unix_ns, seed }), context.replay, context.extensions)
            }
        };
        let pending_tape = match replay {
            Some(exchanges) => PendingTape::Replay(exchanges),
            None if profile.replayable => PendingTape::Record,
            None => PendingTape::Off,
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self {
            memory: MemoryMeter::new(limits.memory_bytes),
            clock: GuestClock::new(profile.guest_time_ends.then_some(limits.guest_time_ms)),
            phase: Phase::Guest,
            limits,
            fence,
            outlasts_fence: false,
            table,
            host: None,
            extensions,
            profile,
            origin,
            within: Within::default(),
            pending_tape,
            tape: Tape::default(),
        }
    }

    /// The state of an instance that stays.
    pub(crate) fn resident(limits: Limits, profile: Profile, fence: Arc<Fence>) -> Self {
        Self {
            pending_tape: PendingTape::Off,
            ..Self::new(limits, profile, fence, None)
        }
    }

    /// Another call begins in the same store, under limits of its own: all meters but that of memory start again.
    pub(crate) fn begin_call(&mut self, limits: Limits, extensions: Extensions) {
        self.limits = limits;
        self.outlasts_fence = false;
        self.memory.begin_call(limits.memory_bytes);
        self.clock
            .set_limit(self.profile.guest_time_ends.then_some(limits.guest_time_ms));
        self.clock.restart();
        self.phase = Phase::Guest;
        self.table
            .set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        self.extensions = extensions;
        if let Some(host) = &self.host {
            host.logs.lock().begin_call(limits.log_bytes);
            host.host_bytes.begin_call(limits.host_call_bytes);
        }
    }

    /// The call that begins is the host's own and goes on behind a closed fence: state is handed over from there, too.
    pub(crate) fn outlast_fence(&mut self) {
        self.outlasts_fence = true;
    }

    /// What calls of other capsules get that this call makes.
    pub(crate) fn pass_on(&mut self, within: Within) {
        self.within = within;
    }

    pub(crate) fn passed_on(&self) -> Within {
        self.within
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fence.is_closed() && !self.outlasts_fence
    }

    fn host(&mut self) -> (&mut HostSide, &mut ResourceTable) {
        let (limits, profile, origin) = (self.limits, self.profile, self.origin);
        let host = self.host.get_or_insert_with(|| {
            let logs = LogBuffer::shared(limits.log_bytes);
            let host_bytes = Arc::new(HostBytes::new(limits.host_call_bytes));
            let stream = |to_stderr| LogStream {
                logs: logs.clone(),
                host_bytes: host_bytes.clone(),
                to_stderr,
            };
            // Nothing is inherited: no environment, no arguments, no folders, no network, an empty standard input.
            let mut wasi = WasiCtx::builder();
            wasi.stdout(stream(false))
                .stderr(stream(true))
                .max_random_size(RANDOM_BYTES_MAX)
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false);
            let origin = || origin.unwrap_or_else(now);
            let time = profile.replayable.then(|| VirtualTime::install(origin(), &mut wasi));
            Box::new(HostSide {
                wasi: wasi.build(),
                logs,
                host_bytes,
                time,
            })
        });
        (host, &mut self.table)
    }

    /// The call's resource table, bounded by `limits.handles`.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// The call's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The meter of bytes passed to host streams.
    pub fn host_bytes(&mut self) -> Arc<HostBytes> {
        self.host().0.host_bytes.clone()
    }

    /// What of that meter is used here; nothing is made for the asking.
    pub(crate) fn host_bytes_used(&self) -> u64 {
        self.host.as_ref().map_or(0, |host| host.host_bytes.used())
    }

    /// The other process, where the other half of this call is, has used so many.
    pub(crate) fn host_bytes_used_elsewhere(&mut self, bytes: u64) {
        if bytes > 0 {
            self.host_bytes().spent_elsewhere(bytes);
        }
    }

    /// The time of the virtual clock, where the call has one.
    pub(crate) fn virtual_ns(&mut self) -> Option<u64> {
        self.virtual_time().0.map(|time| time.clock.peek())
    }

    /// In the other process the virtual clock has come so far.
    pub(crate) fn follow_virtual_clock(&mut self, unix_ns: u64) {
        if let (Some(time), _) = self.virtual_time() {
            time.clock.advance_to(unix_ns);
        }
    }

    /// The time of the call, in nanoseconds since 1970: that of its virtual clock, which this does not move, else the
    /// system's.
    pub fn unix_ns(&mut self) -> u64 {
        match self.virtual_time() {
            (Some(time), _) => time.clock.peek(),
            (None, _) => now().unix_ns,
        }
    }

    /// Gives a provider its own per-call state; one value per type.
    pub fn put_extension<T: Any + Send>(&mut self, value: T) {
        self.extensions.put(value);
    }

    /// All that belongs to the call: what its context brought and what providers put in.
    pub fn extensions(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// A provider's own per-call state, if it put any, and the table, together, as host functions need both.
    pub fn extension<T: Any + Send>(&mut self) -> (Option<&mut T>, &mut ResourceTable) {
        (self.extensions.get_mut(), &mut self.table)
    }

    /// The tape of host calls. Off for D2 and NX capsules, unless they are replayed.
    pub fn tape(&mut self) -> &mut Tape {
        let replay = match std::mem::replace(&mut self.pending_tape, PendingTape::Off) {
            PendingTape::Off => return &mut self.tape,
            PendingTape::Record => None,
            PendingTape::Replay(exchanges) => Some(exchanges),
        };
        self.tape = Tape::new(self.host_bytes(), self.limits.host_call_bytes, replay);
        &mut self.tape
    }

    pub(crate) fn tape_failed(&self) -> bool {
        self.tape.failed()
    }

    /// Ends the tape: what is on it, and the error it makes of the call.
    pub(crate) fn finish_tape(&mut self, answered: bool) -> (Vec<Exchange>, Option<EngineError>) {
        if let PendingTape::Replay(exchanges) = &self.pending_tape
            && !exchanges.is_empty()
        {
            self.tape();
        }
        self.tape.finish(answered)
    }

    /// The virtual clock, where the call has one, and the table beside it.
    pub(crate) fn virtual_time(&mut self) -> (Option<&mut VirtualTime>, &mut ResourceTable) {
        if !self.profile.replayable {
            return (None, &mut self.table);
        }
        let (host, table) = self.host();
        (host.time.as_mut(), table)
    }

    pub(crate) fn take_logs(&mut self) -> (Logs, u64, u64) {
        match &self.host {
            None => (Logs::default(), 0, 0),
            Some(host) => {
                let mut logs = host.logs.lock();
                let written_bytes = logs.written_bytes();
                (logs.take(), written_bytes, host.host_bytes.used())
            }
        }
    }

    pub(crate) fn open_handles(&mut self) -> u64 {
        self.table.iter_mut().count() as u64
    }
}

/// The start of a call that came without a context.
fn now() -> Origin {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Origin {
        unix_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        seed: None,
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (host, table) = self.host();
        WasiCtxView {
            ctx: &mut host.wasi,
            table,
        }
    }
}
