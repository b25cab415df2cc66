//! The one thread that moves the engine's epoch, so that running guests are looked at every tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use wasmtime::{Engine, Instance, Module, Store, Trap};

use crate::EngineError;

/// With nothing running for this many ticks the thread sleeps until the next call: an idle host costs nothing.
const IDLE_TICKS_MAX: u32 = 50;
/// Fuel that ends the probe when no tick does; far more than a few ticks' worth.
const PROBE_FUEL: u64 = 3_000_000_000;

struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Owns the ticking thread; it ends with this value.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

/// Held while a guest may run; keeps the thread ticking.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    /// Starts the thread and proves that it stops a guest that spins.
    pub(crate) fn start(engine: &Engine, tick: Duration) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (theirs, weak) = (shared.clone(), engine.weak());
        let handle = std::thread::Builder::new()
            .name("epoch-ticker".into())
            .spawn(move || {
                let mut idle_ticks = 0;
                while !theirs.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(tick);
                    let Some(engine) = weak.upgrade() else { return };
                    engine.increment_epoch();
                    idle_ticks = if theirs.running.load(Ordering::SeqCst) == 0 {
                        idle_ticks + 1
                    } else {
                        0
                    };
                    if idle_ticks >= IDLE_TICKS_MAX {
                        drop(engine);
                        theirs.parked.store(true, Ordering::SeqCst);
                        // A call that began in between sees `parked` and wakes us; one that did not, we see here.
                        if theirs.running.load(Ordering::SeqCst) == 0 && !theirs.stop.load(Ordering::SeqCst) {
                            std::thread::park();
                        }
                        theirs.parked.store(false, Ordering::SeqCst);
                        idle_ticks = 0;
                    }
                }
            })
            .map_err(|e| EngineError::Setup {
                why: format!("no thread for the ticker: {e}"),
            })?;
        let ticker = Self {
            shared,
            thread: handle.thread().clone(),
            handle: Some(handle),
        };
        ticker.prove(engine)?;
        Ok(ticker)
    }

    /// Says that a guest may run until the guard is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared)
    }

    /// Epochs with no ticker never fire and nothing else would notice; so spin once and see it die.
    fn prove(&self, engine: &Engine) -> Result<(), EngineError> {
        let dead = |why: String| EngineError::TickerDead { why };
        // (module (func (export "spin") (loop (br 0))))
        const SPIN: &[u8] = &[
            0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 8, 1, 4, b's', b'p', b'i', b'n', 0, 0,
            10, 9, 1, 7, 0, 3, 0x40, 0x0c, 0, 0x0b, 0x0b,
        ];
        let module = Module::new(engine, SPIN).map_err(|e| dead(format!("the probe does not compile: {e}")))?;
        let mut store = Store::new(engine, ());
        store.set_fuel(PROBE_FUEL).map_err(|e| dead(e.to_string()))?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_trap();
        let _running = self.running();
        let spin = Instance::new(&mut store, &module, &[])
            .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "spin"))
            .map_err(|e| dead(e.to_string()))?;
        match spin
            .call(&mut store, ())
            .err()
            .and_then(|e| e.downcast_ref::<Trap>().copied())
        {
            Some(Trap::Interrupt) => Ok(()),
            other => Err(dead(format!("the probe ended with {other:?}"))),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // The thread holds nothing that could make this wait for longer than a tick.
            let _ = handle.join();
        }
    }
}
