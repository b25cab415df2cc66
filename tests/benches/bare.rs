//! The peer: the same cycle written by hand on wasmtime, with the same kinds of limits and nothing else.

use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Store,
    UpdateDeadline,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Memory limit of a call, in bytes: our default.
const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Fuel of a call: our default.
const FUEL: u64 = 20_000_000_000;

/// What a user of wasmtime writes: a summing limiter and a WASI context made for each call.
pub struct State {
    bytes: usize,
    table: ResourceTable,
    wasi: Option<WasiCtx>,
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.bytes += desired - current;
        Ok(self.bytes <= MEMORY_BYTES_MAX)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| WasiCtx::builder().build()),
            table: &mut self.table,
        }
    }
}

/// A component linked and ready.
pub struct Bare {
    engine: Engine,
    pre: InstancePre<State>,
    tuned: bool,
}

impl Bare {
    /// Compiles and links; starts a ticker of 2 ms that lives as long as the process. `tuned` has what we found worth
    /// having: memory kept resident between calls, and WASI made only when it is asked for.
    pub fn new(component: &[u8], tuned: bool) -> Self {
        let mut config = Config::new();
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(64)
            .total_core_instances(256)
            .total_memories(128)
            .total_tables(256)
            .total_stacks(64)
            .max_memory_size(1 << 30)
            .table_elements(100_000)
            .max_memories_per_component(4)
            .max_tables_per_component(8);
        if tuned {
            pool.linear_memory_keep_resident(64 << 10)
                .table_keep_resident(64 << 10)
                .pagemap_scan(Enabled::Auto);
        }
        config
            .consume_fuel(true)
            .epoch_interruption(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).unwrap();
        let ticked = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = ticked.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let component = Component::new(&engine, component).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        Self { engine, pre, tuned }
    }

    async fn fresh(&self) -> (Store<State>, wasmtime::component::Instance) {
        let wasi = (!self.tuned).then(|| WasiCtx::builder().build());
        let state = State {
            bytes: 0,
            table: ResourceTable::new(),
            wasi,
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| state);
        store.set_fuel(FUEL).unwrap();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        let instance = self.pre.instantiate_async(&mut store).await.unwrap();
        (store, instance)
    }

    /// A fresh sandbox for one call with text.
    pub async fn text(&self, function: &str, text: &str) -> String {
        let (mut store, instance) = self.fresh().await;
        let function = instance
            .get_typed_func::<(&str,), (String,)>(&mut store, function)
            .unwrap();
        function.call_async(&mut store, (text,)).await.unwrap().0
    }

    /// A fresh sandbox for one call with bytes.
    pub async fn bytes(&self, function: &str, bytes: &[u8]) -> Vec<u8> {
        let (mut store, instance) = self.fresh().await;
        let function = instance
            .get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, function)
            .unwrap();
        function.call_async(&mut store, (bytes,)).await.unwrap().0
    }
}
