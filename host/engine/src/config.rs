//! The engine's settings, and the one constructor of a wasmtime configuration in the whole host.

use std::path::PathBuf;
use std::time::Duration;

use kinetic_model::Limits;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::WorkerConfig;
use crate::limiter::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};

/// Native stack a guest may use, in bytes.
pub(crate) const STACK_BYTES_MAX: usize = 512 * 1024;
/// Stack of a call's fiber: the guest's and what host functions need on top.
const FIBER_STACK_BYTES: usize = STACK_BYTES_MAX + 512 * 1024;
/// Bytes of a memory slot kept resident between calls: clearing them costs less than faulting them in again.
const KEEP_RESIDENT_BYTES: usize = 64 * 1024;
/// The largest table, in elements.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Bytes of bookkeeping one instance may need.
const INSTANCE_BYTES_MAX: usize = 1 << 20;

/// Where strangers' bytes are compiled.
#[derive(Clone, Debug)]
pub enum CompileIn {
    /// In this process, with no bound on time: for bytes that are one's own.
    ThisProcess,
    /// In a process of its own that is killed at a deadline: the program, with arguments that make it call
    /// [`crate::compile_worker_main`].
    Worker {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How often a running guest is looked at.
    pub tick: Duration,
    /// Sandboxes alive at once.
    pub pool_instances: u32,
    /// Nothing gets more than this.
    pub ceiling: Limits,
    /// The largest component, in bytes.
    pub component_bytes_max: u64,
    /// How long compiling may take.
    pub compile_timeout: Duration,
    /// How much memory compiling may take, in bytes.
    pub compile_memory_bytes_max: u64,
    /// Where strangers' bytes are compiled.
    pub compile_in: CompileIn,
    /// Folder of the code cache; none means every load compiles.
    pub code_cache: Option<PathBuf>,
    /// Which calls run in processes of their own; none means none does.
    pub workers: Option<WorkerConfig>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(2),
            pool_instances: 256,
            ceiling: Limits::CEILING,
            component_bytes_max: 10_485_760,
            compile_timeout: Duration::from_secs(30),
            compile_memory_bytes_max: 2 << 30,
            compile_in: CompileIn::ThisProcess,
            code_cache: None,
            workers: None,
        }
    }
}

impl EngineConfig {
    /// How many instances may stay across calls: a quarter of the pool, one at least.
    pub fn residents_max(&self) -> u32 {
        (self.pool_instances / 4).max(1)
    }
}

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// From slots reserved at start: fast, needs much address space.
    Pooling,
    /// From the system at each call: the fallback.
    OnDemand,
}

/// The wasmtime configuration. Whatever compiles and whatever runs must use this one, or cached code would not load.
pub(crate) fn wasmtime_config(settings: &EngineConfig, allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .async_stack_size(FIBER_STACK_BYTES)
        .relaxed_simd_deterministic(true)
        // For every capsule, not only those that promise D0: code compiled once then serves every profile.
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20));
    config.allocation_strategy(match allocation {
        Allocation::OnDemand => InstanceAllocationStrategy::OnDemand,
        Allocation::Pooling => {
            let mut pool = PoolingAllocationConfig::default();
            let instances = settings.pool_instances;
            pool.total_component_instances(instances)
                .total_core_instances(instances.saturating_mul(4))
                .total_memories(instances.saturating_mul(2))
                .total_tables(instances.saturating_mul(4))
                .total_stacks(instances)
                .max_component_instance_size(INSTANCE_BYTES_MAX)
                .max_core_instance_size(INSTANCE_BYTES_MAX)
                .max_core_instances_per_component(CORE_INSTANCES_MAX)
                .max_memories_per_component(MEMORIES_MAX)
                .max_tables_per_component(TABLES_MAX)
                .max_memories_per_module(MEMORIES_MAX)
                .max_tables_per_module(TABLES_MAX)
                .table_elements(TABLE_ELEMENTS_MAX)
                .max_memory_size(usize::try_from(settings.ceiling.memory_bytes).unwrap_or(usize::MAX))
                .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
                .table_keep_resident(KEEP_RESIDENT_BYTES)
                .pagemap_scan(Enabled::Auto);
            InstanceAllocationStrategy::Pooling(pool)
        }
    });
    config
}
