//! The peer: the same cycle written by hand on wasmtime, with the same kinds of limits and nothing else.

use std::time::{Duration, Instant};

use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, ResourceTable};
use wasmtime::{
    CallHook, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Store,
    UpdateDeadline,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Memory limit of a call, in bytes: our default.
const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Fuel of a call: our default.
const FUEL: u64 = 20_000_000_000;

/// Time of a guest, and from start to answer: our defaults.
const GUEST_TIME_MAX: Duration = Duration::from_secs(5);
const WALL_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes between guest and host, at once: our default for results.
const CROSSING_BYTES_MAX: usize = 10 << 20;

/// What a user of wasmtime writes: a summing limiter and a WASI context made for each call.
pub struct State {
    bytes: usize,
    guest_time: Duration,
    in_guest_since: Option<Instant>,
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

/// An engine with a pool, and a ticker of 2 ms that lives as long as the process.
fn engine(tuned: bool) -> Engine {
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
    engine
}

/// A store with its limits armed; WASI is made now, or when it is asked for.
fn store(engine: &Engine, wasi_now: bool) -> Store<State> {
    let state = State {
        bytes: 0,
        guest_time: Duration::ZERO,
        in_guest_since: None,
        table: ResourceTable::new(),
        wasi: wasi_now.then(|| WasiCtx::builder().build()),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_fuel(FUEL).unwrap();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    store
}

/// What a host of strangers' code cannot leave out: the time a guest itself takes is measured at every crossing and ends
/// it, and what crosses is bounded.
fn meter(store: &mut Store<State>) {
    store.call_hook(|mut context, hook| {
        context.set_hostcall_fuel(CROSSING_BYTES_MAX);
        let state = context.data_mut();
        match hook {
            CallHook::CallingWasm | CallHook::ReturningFromHost => state.in_guest_since = Some(Instant::now()),
            CallHook::CallingHost | CallHook::ReturningFromWasm => {
                if let Some(since) = state.in_guest_since.take() {
                    state.guest_time += since.elapsed();
                }
                if state.guest_time > GUEST_TIME_MAX {
                    return Err(wasmtime::format_err!("guest time is used up"));
                }
            }
        }
        Ok(())
    });
}

/// A component linked and ready.
#[allow(dead_code, reason = "each benchmark that has this module uses a part of it")]
pub struct Bare {
    engine: Engine,
    pre: InstancePre<State>,
    tuned: bool,
}

#[allow(dead_code, reason = "each benchmark that has this module uses a part of it")]
impl Bare {
    /// Compiles and links. `tuned` has what we found worth
    /// having: memory kept resident between calls, and WASI made only when it is asked for.
    pub fn new(component: &[u8], tuned: bool) -> Self {
        let engine = engine(tuned);
        let component = Component::new(&engine, component).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        Self { engine, pre, tuned }
    }

    async fn fresh(&self) -> (Store<State>, wasmtime::component::Instance) {
        let mut store = store(&self.engine, !self.tuned);
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

/// Two components: what one imports is forwarded to a fresh instance of the other, with static types.
#[allow(dead_code, reason = "each benchmark that has this module uses a part of it")]
pub struct Forwarding {
    dependent: Bare,
    metered: bool,
}

/// Whom the calls are forwarded to.
#[derive(Clone)]
struct Target {
    engine: Engine,
    pre: InstancePre<State>,
    back: ComponentExportIndex,
}

impl Target {
    async fn call(&self, store: &mut Store<State>, text: &str) -> wasmtime::Result<(String,)> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let back = instance.get_typed_func::<(&str,), (String,)>(&mut *store, self.back)?;
        back.call_async(store, (text,)).await
    }

    async fn fresh_call(&self, text: &str) -> wasmtime::Result<(String,)> {
        let mut store = store(&self.engine, false);
        self.call(&mut store, text).await
    }

    /// With all duties: metered, a deadline, and what was used read back.
    async fn metered_call(&self, text: &str) -> wasmtime::Result<(String,)> {
        let began = Instant::now();
        let mut store = store(&self.engine, false);
        meter(&mut store);
        let answer = tokio::time::timeout(WALL_TIME_MAX, self.call(&mut store, text)).await?;
        let state = store.data();
        std::hint::black_box((began.elapsed(), state.guest_time, state.bytes, store.get_fuel()?));
        answer
    }
}

#[allow(dead_code, reason = "each benchmark that has this module uses a part of it")]
impl Forwarding {
    /// Compiles and links both. The interface has one function, `back: func(text: string) -> string`. Both sides have
    /// memory limits, fuel and epochs, and no WASI, which neither asks for; `metered` they also have what a host that isolates
    /// calls does beside. `tuned` as with [`Bare::new`].
    pub fn new(provider: &[u8], dependent: &[u8], interface: &str, tuned: bool, metered: bool) -> Self {
        let engine = engine(tuned);
        let provider = Component::new(&engine, provider).unwrap();
        let instance = provider.get_export_index(None, interface).unwrap();
        let back = provider.get_export_index(Some(&instance), "back").unwrap();
        let target = Target {
            engine: engine.clone(),
            pre: Linker::<State>::new(&engine).instantiate_pre(&provider).unwrap(),
            back,
        };
        let mut linker = Linker::<State>::new(&engine);
        let mut instance = linker.instance(interface).unwrap();
        if metered {
            instance.func_wrap_async("back", move |_, (text,): (String,)| {
                let target = target.clone();
                Box::new(async move { target.metered_call(&text).await })
            })
        } else {
            instance.func_wrap_async("back", move |_, (text,): (String,)| {
                let target = target.clone();
                Box::new(async move { target.fresh_call(&text).await })
            })
        }
        .unwrap();
        let dependent = Component::new(&engine, dependent).unwrap();
        let pre = linker.instantiate_pre(&dependent).unwrap();
        let dependent = Bare { engine, pre, tuned };
        Self { dependent, metered }
    }

    /// Has the dependent call the provider so many times.
    pub async fn many(&self, n: u64) -> u64 {
        let mut store = store(&self.dependent.engine, false);
        if self.metered {
            meter(&mut store);
        }
        let instance = self.dependent.pre.instantiate_async(&mut store).await.unwrap();
        let many = instance.get_typed_func::<(u32,), (u64,)>(&mut store, "many").unwrap();
        many.call_async(&mut store, (u32::try_from(n).unwrap(),))
            .await
            .unwrap()
            .0
    }
}
