//! Waiting in replayable calls: sleeping takes no time and moves the virtual clock; what outside made ready first is
//! on the tape. In other calls this is wasmtime's own waiting.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::io::poll;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::CallState;
use crate::tape::Turn;
use crate::virtual_time::VirtualClock;

/// What waits are called on a tape.
pub(crate) const INTERFACE: &str = "wasi:io/poll";

/// Puts these functions in the place of wasmtime's.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<CallState, HasWaiting>(linker, |state| Waiting(state))?;
    monotonic_clock::add_to_linker::<CallState, HasWaiting>(linker, |state| Waiting(state))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasWaiting;

impl HasData for HasWaiting {
    type Data<'a> = Waiting<'a>;
}

struct Waiting<'a>(&'a mut CallState);

/// What stands behind a pollable of the virtual clock. It is polled only beside things outside, and those take real
/// time: a request with a timeout of ten seconds has ten real seconds.
struct Alarm {
    clock: Arc<VirtualClock>,
    when: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        let left_ns = self.when.saturating_sub(self.clock.peek());
        if left_ns > 0 {
            tokio::time::sleep(Duration::from_nanos(left_ns)).await;
        }
    }
}

impl Waiting<'_> {
    /// When this pollable is due, if it waits for the virtual clock.
    fn alarm(&mut self, pollable: &Resource<DynPollable>) -> Option<u64> {
        let (time, _) = self.0.virtual_time();
        time.and_then(|time| time.alarms.get(&pollable.rep()).copied())
    }

    fn advance_to(&mut self, when: u64) {
        if let (Some(time), _) = self.0.virtual_time() {
            time.clock.advance_to(when);
        }
    }

    fn read_clock(&mut self) -> u64 {
        let (time, _) = self.0.virtual_time();
        time.map_or(0, |time| time.clock.read())
    }

    /// A pollable for a time or for a time from now; nothing where the clock is real.
    fn subscribe(&mut self, when: impl FnOnce(u64) -> u64) -> wasmtime::Result<Option<Resource<DynPollable>>> {
        let (Some(time), table) = self.0.virtual_time() else {
            return Ok(None);
        };
        let clock = time.clock.clone();
        let when = when(clock.peek());
        let alarm = table.push(Alarm { clock, when })?;
        let pollable = subscribe(table, alarm)?;
        time.alarms.insert(pollable.rep(), when);
        Ok(Some(pollable))
    }

    /// The alarms that ring first; those already due ring at once.
    fn ring(&mut self, alarms: &[u64]) -> Vec<u32> {
        let earliest = alarms.iter().copied().min().unwrap_or_default();
        let until = self.read_clock().max(earliest);
        self.advance_to(until);
        let due = (0_u32..).zip(alarms).filter(|(_, when)| **when <= until);
        due.map(|(index, _)| index).collect()
    }

    /// Makes what was ready in the recording ready now.
    async fn settle(&mut self, ready: &[u32], pollables: &[Resource<DynPollable>]) -> wasmtime::Result<()> {
        for index in ready {
            let pollable = pollables
                .get(*index as usize)
                .ok_or_else(|| wasmtime::format_err!("the recording names a pollable that is not there"))?;
            poll::HostPollable::block(self, Resource::new_borrow(pollable.rep())).await?;
        }
        Ok(())
    }
}

impl poll::Host for Waiting<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let alarms: Vec<u64> = pollables.iter().filter_map(|pollable| self.alarm(pollable)).collect();
        if !alarms.is_empty() && alarms.len() == pollables.len() {
            return Ok(self.ring(&alarms));
        }
        if !self.0.tape().is_on() {
            return self.0.table().poll(pollables).await;
        }
        let request: Vec<u8> = pollables.iter().flat_map(|one| one.rep().to_le_bytes()).collect();
        if let Turn::Answer(bytes) = self.0.wait_turn(INTERFACE, "poll", request).await? {
            let (indices, _) = bytes.as_chunks::<4>();
            let ready: Vec<u32> = indices.iter().map(|index| u32::from_le_bytes(*index)).collect();
            self.settle(&ready, &pollables).await?;
            return Ok(ready);
        }
        let whens: Vec<Option<u64>> = pollables.iter().map(|pollable| self.alarm(pollable)).collect();
        let ready = self.0.table().poll(pollables).await?;
        for index in &ready {
            if let Some(Some(when)) = whens.get(*index as usize) {
                self.advance_to(*when);
            }
        }
        let response: Vec<u8> = ready.iter().flat_map(|index| index.to_le_bytes()).collect();
        self.0.waited(response).await?;
        Ok(ready)
    }
}

impl poll::HostPollable for Waiting<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        if let Some(when) = self.alarm(&pollable) {
            return Ok(when <= self.read_clock());
        }
        if !self.0.tape().is_on() {
            return self.0.table().ready(pollable).await;
        }
        let request = pollable.rep().to_le_bytes().to_vec();
        if let Turn::Answer(bytes) = self.0.wait_turn(INTERFACE, "ready", request).await? {
            let ready = bytes == [1];
            if ready {
                self.0.table().block(pollable).await?;
            }
            return Ok(ready);
        }
        let ready = self.0.table().ready(pollable).await?;
        self.0.waited(vec![u8::from(ready)]).await?;
        Ok(ready)
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        match self.alarm(&pollable) {
            Some(when) => {
                self.advance_to(when);
                Ok(())
            }
            None => self.0.table().block(pollable).await,
        }
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        if let (Some(time), _) = self.0.virtual_time() {
            time.alarms.remove(&pollable.rep());
        }
        poll::HostPollable::drop(self.0.table(), pollable)
    }
}

impl monotonic_clock::Host for Waiting<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::now(&mut self.0.clocks())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::resolution(&mut self.0.clocks())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match self.subscribe(|_| when)? {
            Some(pollable) => Ok(pollable),
            None => self.0.clocks().subscribe_instant(when),
        }
    }

    fn subscribe_duration(&mut self, duration_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match self.subscribe(|now| now.saturating_add(duration_ns))? {
            Some(pollable) => Ok(pollable),
            None => self.0.clocks().subscribe_duration(duration_ns),
        }
    }
}
