//! Compiling: in this process for one's own bytes, in a process that can be killed for strangers'.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wasmtime::Engine;

use crate::EngineError;
use crate::apart::patience;
use crate::code_cache::Compiled;
use crate::config::{Allocation, CompileIn, EngineConfig, wasmtime_config};
use crate::describe::describe;
use crate::interface::Interface;

/// The largest compiled code read back from a compiler process, per byte of component.
const CODE_BYTES_FACTOR: u64 = 40;
const CODE_BYTES_FLOOR: u64 = 64 << 20;
/// Threads of a compiler process: on a many-core host one stranger's component must not take them all.
const COMPILE_THREADS: &str = "4";

/// Why compiling failed, as the compiler process tells it.
#[derive(Debug, Serialize, Deserialize)]
enum Failure {
    NotAComponent,
    Invalid(String),
    Setup(String),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotAComponent {} => Self::NotAComponent,
            EngineError::Invalid { why } => Self::Invalid(why),
            other => Self::Setup(other.to_string()),
        }
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotAComponent => Self::NotAComponent {},
            Failure::Invalid(why) => Self::Invalid { why },
            Failure::Setup(why) => Self::Setup { why },
        }
    }
}

/// The first line of a compiler process's answer; code follows when it went well.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    outcome: Result<Interface, Failure>,
    code_bytes: u64,
}

pub(crate) fn compile_here(engine: &Engine, bytes: &[u8]) -> Result<Compiled, EngineError> {
    let interface = describe(bytes)?;
    let code = engine
        .precompile_component(bytes)
        .map_err(|e| EngineError::Invalid { why: format!("{e:#}") })?;
    Ok(Compiled {
        code: code.into(),
        interface,
    })
}

/// Compiles where the settings say, within their bounds.
pub(crate) async fn compile(engine: &Engine, config: &EngineConfig, bytes: Vec<u8>) -> Result<Compiled, EngineError> {
    match &config.compile_in {
        CompileIn::ThisProcess => {
            let engine = engine.clone();
            let task = tokio::task::spawn_blocking(move || compile_here(&engine, &bytes));
            task.await
                .map_err(|e| EngineError::CompileCrashed { why: e.to_string() })?
        }
        CompileIn::Worker { program, args } => {
            let timeout = patience(config.compile_timeout);
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            let work = in_worker(program, args, config, &bytes);
            match tokio::time::timeout(timeout, work).await {
                Ok(result) => result,
                // Dropping the future killed the process.
                Err(_) => Err(EngineError::CompileTimeout { timeout_ms }),
            }
        }
    }
}

async fn in_worker(
    program: &std::path::Path,
    args: &[String],
    config: &EngineConfig,
    bytes: &[u8],
) -> Result<Compiled, EngineError> {
    let crashed = |why: String| EngineError::CompileCrashed { why };
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .arg(config.compile_memory_bytes_max.to_string())
        .arg(config.compile_timeout.as_secs().saturating_add(1).to_string())
        .env_clear()
        .env("RAYON_NUM_THREADS", COMPILE_THREADS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| crashed(format!("it did not start: {e}")))?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(crashed("its pipes are missing".into()));
    };
    let send = async move {
        // A worker that died stops reading; what it says, or that it says nothing, tells why.
        let _ = input.write_all(bytes).await;
        drop(input);
    };
    let code_bytes_max = (bytes.len() as u64)
        .saturating_mul(CODE_BYTES_FACTOR)
        .max(CODE_BYTES_FLOOR);
    let receive = async move {
        let mut answer = Vec::new();
        output
            .take(code_bytes_max)
            .read_to_end(&mut answer)
            .await
            .map(|_| answer)
    };
    let ((), answer) = tokio::join!(send, receive);
    let answer = answer.map_err(|e| crashed(e.to_string()))?;
    let status = child.wait().await.map_err(|e| crashed(e.to_string()))?;
    let newline = answer
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| crashed(status.to_string()))?;
    let (header, code) = answer.split_at(newline);
    let header: Header = serde_json::from_slice(header).map_err(|e| crashed(format!("{status}; {e}")))?;
    let interface = header.outcome.map_err(EngineError::from)?;
    let code = code.get(1..).unwrap_or_default();
    if code.len() as u64 != header.code_bytes {
        return Err(crashed(format!("{status}; its answer was cut short")));
    }
    Ok(Compiled {
        code: Bytes::copy_from_slice(code),
        interface,
    })
}

/// The compiler process: reads a component from standard input, writes its interface and code to standard output.
///
/// Arguments: the most memory in bytes, the most processor time in seconds. The process bounds itself with them before
/// it reads a byte; its parent kills it at the deadline.
///
/// # Errors
/// Only when the pipes fail; everything about the component is in the answer.
pub fn compile_worker_main(memory_bytes_max: u64, cpu_seconds_max: u64) -> std::io::Result<()> {
    // DATA, not AS: threads reserve address space they never touch.
    rlimit::Resource::DATA.set(memory_bytes_max, memory_bytes_max)?;
    rlimit::Resource::CPU.set(cpu_seconds_max.saturating_mul(4), cpu_seconds_max.saturating_mul(4))?;
    rlimit::Resource::CORE.set(0, 0)?;
    rlimit::Resource::FSIZE.set(0, 0)?;
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let settings = EngineConfig::default();
    let compiled = Engine::new(&wasmtime_config(&settings, Allocation::OnDemand))
        .map_err(|e| EngineError::Setup { why: format!("{e:#}") })
        .and_then(|engine| compile_here(&engine, &bytes));
    let (header, code) = match compiled {
        Ok(Compiled { code, interface }) => (
            Header {
                outcome: Ok(interface),
                code_bytes: code.len() as u64,
            },
            code,
        ),
        Err(error) => (
            Header {
                outcome: Err(error.into()),
                code_bytes: 0,
            },
            Bytes::new(),
        ),
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &header)?;
    out.write_all(b"\n")?;
    out.write_all(&code)?;
    out.flush()
}
