//! What can go wrong when a component is loaded or called: one enum, one code each.

use kinetic_model::coded_errors;

coded_errors! {
    /// Errors of loading and calling components.
    #[derive(serde::Serialize, serde::Deserialize)]
    pub enum EngineError ("ENG") {
        /// The host could not set the engine up.
        "0001" Setup { why: String } => Internal,
            "the engine could not start: {why}.",
            "Run `kinetic doctor`; it names what this machine lacks.";
        /// The spinning probe was not stopped by the ticker.
        "0002" TickerDead { why: String } => Internal,
            "the clock that stops runaway guests does not tick: {why}.",
            "Nothing is served without it. Check the machine's timers, then start again.";
        /// The component is larger than the operator allows.
        "0003" ComponentTooLarge { bytes: u64, bytes_max: u64 } => TooLarge,
            "the component has {bytes} bytes; this host takes at most {bytes_max}.",
            "Build it in release mode with strip and lto, or raise engine.component_bytes_max.";
        /// The bytes are a core module.
        "0004" NotAComponent { } => Conformance,
            "the bytes are a core WebAssembly module, not a component.",
            "Build with --target wasm32-wasip2, or wrap the module with `wasm-tools component new`.";
        /// The bytes do not parse or do not validate.
        "0005" Invalid { why: String } => Conformance,
            "the bytes are not a valid component: {why}.",
            "Build it again; if it was downloaded, it is truncated or corrupt.";
        /// Compiling took too long and was stopped.
        "0006" CompileTimeout { timeout_ms: u64 } => Budget,
            "compiling took longer than {timeout_ms} ms and was stopped.",
            "Make the component smaller, or raise engine.compile_timeout_ms.";
        /// The compiler process died.
        "0007" CompileCrashed { why: String } => Budget,
            "the compiler process ended without a result: {why}.",
            "The component may need more memory to compile than engine.compile_memory_bytes; if it is trusted, raise it.";
        /// Imports nobody provides or nobody granted.
        "0008" MissingImports { imports: String } => Security,
            "the component imports what it was not given: {imports}.",
            "Add the lines named to \"imports\" in manifest.json, or build the component without these imports.";
        /// An import exists but has another type.
        "0009" ImportMismatch { why: String } => Conformance,
            "an import does not fit what the host provides: {why}.",
            "Build against WASI 0.2 as vendored under wit/deps.";
        /// No function of that name.
        "0010" NoSuchFunction { function: String, known: String } => NotFound,
            "there is no function \"{function}\"; the component has: {known}.",
            "Name one of them.";
        /// Several functions, none named.
        "0011" FunctionNeeded { known: String } => Invalid,
            "the component has several functions: {known}.",
            "Name one of them.";
        /// An argument does not fit its WIT type.
        "0012" BadArgument { path: String, why: String } => Invalid,
            "argument {path}: {why}.",
            "Give it as the function's input schema says (kinetic inspect shows it).";
        /// The arguments are larger than allowed.
        "0013" InputTooLarge { bytes: u64, bytes_max: u64 } => TooLarge,
            "the arguments have {bytes} bytes; this capsule takes at most {bytes_max}.",
            "Send less, or raise limits.input_bytes in the manifest.";
        /// All fuel is used.
        "0014" OutOfFuel { fuel_max: u64 } => Budget,
            "the call used up its fuel of {fuel_max} units.",
            "Give it less to do, or raise limits.fuel in the manifest.";
        /// Instantiation used its own fuel budget.
        "0015" InstantiationFuel { fuel_max: u64 } => Budget,
            "making the instance used up its fuel of {fuel_max} units before the call began.",
            "Move work out of start functions and static initialisers.";
        /// Guest time is used.
        "0016" GuestTimeout { guest_time_ms_max: u64 } => Timeout,
            "the guest ran for longer than {guest_time_ms_max} ms.",
            "Give it less to do, or raise limits.guest_time_ms in the manifest.";
        /// Wall time is used.
        "0017" WallTimeout { wall_time_ms_max: u64 } => Timeout,
            "the call took longer than {wall_time_ms_max} ms, waiting included.",
            "What it waits for is slow or gone; if it needs the time, raise limits.wall_time_ms in the manifest.";
        /// A memory or table grow was refused and the guest gave up.
        "0018" OutOfMemory { memory_bytes_max: u64 } => Budget,
            "the guest needed more than {memory_bytes_max} bytes of memories and tables together.",
            "Give it less to hold, or raise limits.memory_bytes in the manifest.";
        /// The guest recursed too deep.
        "0019" StackOverflow { stack_bytes_max: u64 } => Conformance,
            "the guest overflowed its stack of {stack_bytes_max} bytes.",
            "Its recursion has no end for this input; report it to the capsule's author.";
        /// The guest panicked or aborted.
        "0020" Panicked { message: String } => Conformance,
            "the guest panicked: {message}.",
            "Report it to the capsule's author with the input; the host and later calls are unaffected.";
        /// Another trap.
        "0021" Trapped { why: String } => Conformance,
            "the guest trapped: {why}.",
            "Report it to the capsule's author with the input; the host and later calls are unaffected.";
        /// The results are larger than allowed; nothing was copied.
        "0022" OutputTooLarge { bytes_max: u64 } => TooLarge,
            "the results are larger than {bytes_max} bytes; nothing of them was copied.",
            "Ask for less, or raise limits.output_bytes in the manifest.";
        /// Too many handles.
        "0023" TooManyHandles { handles_max: u64 } => Budget,
            "the guest held more than {handles_max} resource handles at once.",
            "It leaks streams or pollables; close them, or raise limits.handles in the manifest.";
        /// Too many bytes to host functions.
        "0024" HostCallTooLarge { bytes_max: u64 } => Budget,
            "the guest passed more than {bytes_max} bytes to host functions.",
            "Send smaller pieces, or raise limits.host_call_bytes in the manifest.";
        /// The guest called exit.
        "0025" Exited { status: i32 } => Conformance,
            "the guest exited with status {status} instead of answering.",
            "A capability answers by returning; remove the call to exit.";
        /// Every sandbox is in use.
        "0026" PoolFull { instances: u64 } => Busy,
            "all {instances} sandboxes are in use.",
            "Try again in a moment, or raise engine.pool_instances.";
        /// A value nests or counts beyond what is converted.
        "0027" TooManyValues { values_max: u64 } => TooLarge,
            "the arguments hold more than {values_max} separate values.",
            "Send bulk data as one string or one list<u8>, not value by value.";
        /// No single parameter takes the bytes.
        "0028" NoBytesParameter { function: String } => Invalid,
            "function \"{function}\" has no single string or list<u8> parameter left to take the file.",
            "Pass the arguments by name.";
        /// The bytes are not UTF-8 but the parameter is a string.
        "0029" NotUtf8 { at_byte: u64 } => Invalid,
            "the file is not UTF-8 (byte {at_byte}) and the parameter is a string.",
            "Convert the file to UTF-8.";
        /// A provider refused its configuration.
        "0030" Provider { name: String, why: String } => Security,
            "{name} refused the capsule's grant: {why}.",
            "Correct the line under \"imports\" in manifest.json.";
        /// The code cache cannot be used.
        "0031" CodeCache { why: String } => Internal,
            "the code cache cannot be used: {why}.",
            "Check that the data folder is writable and has room; deleting its code-cache folder is always safe.";
        /// The guest's own machinery failed in a way no other code names.
        "0032" HostFunction { why: String } => Conformance,
            "a host function ended the call: {why}.",
            "Report it to the capsule's author with the input.";
        /// There is nothing to call.
        "0033" NothingToCall { } => Conformance,
            "the component exports nothing that can be called.",
            "Export a function of WIT value types from the world.";
        /// A replay asked the host something else than the recorded call did.
        "0034" Diverged { at_exchange: u64, expected: String, found: String } => Integrity,
            "the replay diverged at host call {at_exchange}: recorded is {expected}; the replay has {found}.",
            "The component, its input or its context is not what was recorded; compare their digests with the record's.";
        /// The recording of host calls is larger than allowed.
        "0035" TapeTooLong { bytes_max: u64 } => Budget,
            "recording the call's host calls would take more than {bytes_max} bytes.",
            "Ask the host for less, raise limits.host_call_bytes in the manifest, or promise less than D1 there: then nothing is recorded.";
        /// The bytes are not a recording of host calls.
        "0036" BadTape { at_byte: u64, why: String } => Integrity,
            "the recording of host calls cannot be read at byte {at_byte}: {why}.",
            "It is damaged, or was written by a newer version; without it the call cannot be replayed.";
        /// An earlier call ended the instance.
        "0037" ResidentEnded { } => Unavailable,
            "the component's instance was ended by an earlier call that failed or was dropped.",
            "Make another one, with the state that was exported last.";
        /// The capsule's one instance was not free in time.
        "0038" ResidentBusy { wall_time_ms_max: u64 } => Busy,
            "the capsule has one instance for all calls, and it was not free within {wall_time_ms_max} ms.",
            "Call again later, or less at once; a capsule with \"instance\": \"fresh\" serves many calls side by side.";
        /// As many instances stay as may.
        "0039" TooManyResidents { residents_max: u64 } => Busy,
            "{residents_max} capsules keep an instance across calls, and more may not.",
            "Raise engine.pool_instances, of which a quarter may stay, or give capsules \"instance\": \"fresh\".";
        /// The component was replaced while the call ran.
        "0040" Fenced { } => Busy,
            "this version was replaced while the call ran, and the call took longer than the time it was given to finish.",
            "Call again; the version that replaced it answers.";
        /// A step of the lifecycle failed.
        "0041" LifecycleRefused { function: String, why: String } => Conformance,
            "the component's lifecycle function \"{function}\" refused: {why}.",
            "Report it to the capsule's author; the version that served before can be kept.";
        /// The component cannot go on from a state.
        "0042" StateRefused { why: String } => Conformance,
            "the component cannot go on from the state it was given: {why}.",
            "Give it a version that reads this state's format, or keep the version that wrote it.";
        /// The one instance failed too often and is not made again yet.
        "0043" Restarting { retry_after_ms: u64 } => Busy,
            "the capsule's instance failed several times in a row and is made again in {retry_after_ms} ms.",
            "Call again then; if it goes on failing, report it to the capsule's author.";
        /// Another capsule, which this one uses, gave no answer.
        "0044" PeerFailed { peer: String, code: String, why: String } => Unavailable,
            "{peer}, which the capsule uses, gave no answer: {code} {why}",
            "Look that code up with `kinetic errors`; `kinetic ps` shows how the capsule that is used stands.";
        /// Another capsule does not have what this one imports.
        "0045" PeerMismatch { import: String, peer: String, why: String } => Conformance,
            "{peer} does not provide {import} as the component imports it: {why}.",
            "Build both against the same WIT; functions with resources or streams can only be composed, with `kinetic compose`.";
        /// A worker process died with calls in it.
        "0046" WorkerDied { why: String } => Budget,
            "the worker process died: {why}.",
            "Call again: a fresh process answers. If it goes on, report it to the capsule's author with the input; the host is unaffected.";
        /// A worker process could not be started.
        "0047" WorkerNotStarted { why: String } => Internal,
            "no worker process could be started: {why}.",
            "`kinetic doctor` shows what this machine lacks; engine.workers can have the calls run in the host's own process.";
        /// The tenant's processes died too often and none is started yet.
        "0048" WorkerRestarting { retry_after_ms: u64 } => Busy,
            "worker processes of this namespace died several times in a row; the next one is started in {retry_after_ms} ms.",
            "Call again then; if it goes on, report it to the capsules' authors.";
        /// No process has room.
        "0049" WorkersFull { processes_max: u64 } => Busy,
            "none of {processes_max} worker processes has room for the call, of which a namespace gets half.",
            "Try again in a moment, or raise engine.workers.processes_max or calls_per_process_max.";
        /// A component that is to run in a worker cannot.
        "0050" WorkerOnly { zone: String, why: String } => Security,
            "capsules of zone \"{zone}\" run in worker processes only, and this one cannot: {why}.",
            "Build it without that, or let the operator set engine.workers.{zone} to \"worker\".";
        /// Something that stays was asked of a component that runs in workers.
        "0051" InWorker { } => Conformance,
            "the component runs in worker processes, where no instance of it stays.",
            "Give its capsule \"instance\": \"resident\", which makes it run in the host's own process.";
        /// Work apart from the calls was not done.
        "0052" NotApart { why: String } => Internal,
            "a thread for work apart from the calls gave no result: {why}.",
            "Try again; if it goes on, look at the host's log and at the machine's limit on threads.";
        /// A worker process said what no worker of this host says.
        "0054" WorkerMisbehaved { why: String } => Conformance,
            "the worker process was ended because it broke the rules by which it asks the host: {why}.",
            "Its guest may have broken out of its sandbox: quarantine the capsules of this namespace and report it. The host is unaffected.";
    }
}
