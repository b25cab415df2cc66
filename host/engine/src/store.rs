//! The one place that makes a store: every store has every limit armed, or it does not exist.

use wasmtime::{CallHook, Engine, Store, UpdateDeadline};

use crate::aside;
use crate::fence::FenceClosed;
use crate::state::{CallState, Phase};

/// Fuel for making an instance (start functions, static initialisers); apart from the call's own.
pub(crate) const INSTANTIATION_FUEL: u64 = 500_000_000;

/// Ends a call whose guest time is used up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuestTimeExhausted;

impl std::fmt::Display for GuestTimeExhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("guest time is used up")
    }
}

impl std::error::Error for GuestTimeExhausted {}

/// Ends a call whose tape failed; the tape knows why.
#[derive(Debug, Clone, Copy)]
struct TapeFailed;

impl std::fmt::Display for TapeFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the tape of host calls failed")
    }
}

impl std::error::Error for TapeFailed {}

/// A fresh store with all limits armed.
pub(crate) fn fresh_store(engine: &Engine, state: CallState) -> wasmtime::Result<Store<CallState>> {
    let limits = state.limits;
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
    store.set_fuel(INSTANTIATION_FUEL)?;
    store.set_epoch_deadline(1);
    // At every tick: is the guest's time used up? If not, let others run, then go on for one more tick.
    // The clock stands still here, because leaving wasm for this callback is a host call to the hook below.
    store.epoch_deadline_callback(|mut context| {
        let clock = &mut context.data_mut().clock;
        if clock.check_exhausted() {
            return Err(GuestTimeExhausted.into());
        }
        aside::yields(clock.spent());
        Ok(UpdateDeadline::Yield(1))
    });
    // The limits are read each time: those of a store that stays can change between two calls.
    store.call_hook(|mut context, hook| {
        match hook {
            CallHook::CallingWasm | CallHook::ReturningFromHost => {
                let host_call_bytes = context.data().limits.host_call_bytes;
                context.set_hostcall_fuel(usize::try_from(host_call_bytes).unwrap_or(usize::MAX));
                let state = context.data_mut();
                // Whatever the guest was told: a call whose tape failed is over.
                if state.tape_failed() {
                    return Err(TapeFailed.into());
                }
                state.phase = Phase::Guest;
                state.clock.enter();
            }
            CallHook::CallingHost => {
                let state = context.data_mut();
                state.clock.leave();
                // Also at a tick, which leaves wasm like a host call.
                if state.is_fenced() {
                    return Err(FenceClosed.into());
                }
                // A guest that does nothing but short host calls must not outrun the ticker.
                if state.clock.check_exhausted() {
                    return Err(GuestTimeExhausted.into());
                }
            }
            CallHook::ReturningFromWasm => {
                // What is read from here on are results: wasmtime charges every string and list before it copies one.
                let output_bytes = context.data().limits.output_bytes;
                context.set_hostcall_fuel(usize::try_from(output_bytes).unwrap_or(usize::MAX));
                let state = context.data_mut();
                state.clock.leave();
                state.phase = Phase::Results;
            }
        }
        Ok(())
    });
    Ok(store)
}
