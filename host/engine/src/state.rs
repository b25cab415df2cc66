//! What a store carries for one call: meters, clocks, handles, and the inert WASI context made only when asked for.

use std::any::Any;
use std::sync::Arc;

use kinetic_model::Limits;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::clock::GuestClock;
use crate::host_bytes::HostBytes;
use crate::limiter::MemoryMeter;
use crate::logs::{LogBuffer, LogStream, Logs, SharedLogs};

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
    table: ResourceTable,
    host: Option<Box<HostSide>>,
    extensions: Vec<Box<dyn Any + Send>>,
}

/// Made at the first host call: a call that needs no host pays nothing for it.
struct HostSide {
    wasi: WasiCtx,
    logs: SharedLogs,
    host_bytes: Arc<HostBytes>,
}

impl CallState {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self {
            memory: MemoryMeter::new(limits.memory_bytes),
            clock: GuestClock::new(limits.guest_time_ms),
            phase: Phase::Guest,
            limits,
            table,
            host: None,
            extensions: Vec::new(),
        }
    }

    fn host(&mut self) -> (&mut HostSide, &mut ResourceTable) {
        let limits = self.limits;
        let host = self.host.get_or_insert_with(|| {
            let logs = LogBuffer::shared(limits.log_bytes);
            let host_bytes = Arc::new(HostBytes::new(limits.host_call_bytes));
            let stream = |to_stderr| LogStream {
                logs: logs.clone(),
                host_bytes: host_bytes.clone(),
                to_stderr,
            };
            // Nothing is inherited: no environment, no arguments, no folders, no network, an empty standard input.
            let wasi = WasiCtx::builder()
                .stdout(stream(false))
                .stderr(stream(true))
                .max_random_size(RANDOM_BYTES_MAX)
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .build();
            Box::new(HostSide { wasi, logs, host_bytes })
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

    /// Gives a provider its own per-call state; one value per type.
    pub fn put_extension<T: Any + Send>(&mut self, value: T) {
        self.extensions.push(Box::new(value));
    }

    /// A provider's own per-call state, if it put any, and the table, together, as host functions need both.
    pub fn extension<T: Any + Send>(&mut self) -> (Option<&mut T>, &mut ResourceTable) {
        let found = self.extensions.iter_mut().find_map(|value| value.downcast_mut::<T>());
        (found, &mut self.table)
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

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (host, table) = self.host();
        WasiCtxView {
            ctx: &mut host.wasi,
            table,
        }
    }
}
