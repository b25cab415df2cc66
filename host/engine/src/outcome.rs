//! Which of our errors a failed call is: from the trap, from what the meters saw, from where control was.

use wasmtime::component::ResourceTableError;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::EngineError;
use crate::config::STACK_BYTES_MAX;
use crate::fence::FenceClosed;
use crate::host_bytes::HostBytesExceeded;
use crate::peer::PeerFailed;
use crate::state::{CallState, Phase};
use crate::store::{GuestTimeExhausted, INSTANTIATION_FUEL};

/// Names the error. `instantiating` tells the two fuel budgets apart.
pub(crate) fn classify(error: &Error, state: &CallState, instances: u32, instantiating: bool) -> EngineError {
    let limits = &state.limits;
    if error.is::<FenceClosed>() {
        return EngineError::Fenced {};
    }
    if let Some(failed) = error.downcast_ref::<PeerFailed>() {
        return EngineError::PeerFailed {
            peer: failed.peer.clone(),
            code: failed.fault.code.into(),
            why: failed.fault.message.clone(),
        };
    }
    if error.is::<GuestTimeExhausted>() || state.clock.exhausted() {
        return EngineError::GuestTimeout {
            guest_time_ms_max: limits.guest_time_ms,
        };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return EngineError::PoolFull {
            instances: instances.into(),
        };
    }
    if error.is::<HostBytesExceeded>() {
        return EngineError::HostCallTooLarge {
            bytes_max: limits.host_call_bytes,
        };
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return EngineError::Exited { status: exit.0 };
    }
    let out_of_memory = || EngineError::OutOfMemory {
        memory_bytes_max: limits.memory_bytes,
    };
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::OutOfFuel if instantiating => EngineError::InstantiationFuel {
                fuel_max: INSTANTIATION_FUEL,
            },
            Trap::OutOfFuel => EngineError::OutOfFuel { fuel_max: limits.fuel },
            Trap::StackOverflow => EngineError::StackOverflow {
                stack_bytes_max: STACK_BYTES_MAX as u64,
            },
            Trap::Interrupt => EngineError::GuestTimeout {
                guest_time_ms_max: limits.guest_time_ms,
            },
            // An allocator that was refused aborts, and an abort is an `unreachable` like a panic's.
            Trap::UnreachableCodeReached | Trap::MemoryOutOfBounds if state.memory.refused() => out_of_memory(),
            Trap::UnreachableCodeReached => EngineError::Panicked {
                message: "it aborted without saying why".into(),
            },
            other => EngineError::Trapped { why: other.to_string() },
        };
    }
    let handles = || EngineError::TooManyHandles {
        handles_max: limits.handles,
    };
    if error
        .downcast_ref::<ResourceTableError>()
        .is_some_and(|e| matches!(e, ResourceTableError::Full))
    {
        return handles();
    }
    // Wasmtime keeps these two types to itself; their words are pinned with its version, and tests trip both.
    let words = error.root_cause().to_string();
    if words.contains("fuel allocated for hostcalls has been exhausted") {
        return match state.phase {
            Phase::Results => EngineError::OutputTooLarge {
                bytes_max: limits.output_bytes,
            },
            Phase::Guest => EngineError::HostCallTooLarge {
                bytes_max: limits.host_call_bytes,
            },
        };
    }
    if words.contains("handle limit exceeded") {
        return handles();
    }
    if state.memory.refused() {
        return out_of_memory();
    }
    EngineError::Trapped {
        why: words.chars().take(500).collect(),
    }
}
