//! `kinetic compile-worker`: the process that the host starts to compile a stranger's component, and kills at a deadline.

use std::process::ExitCode;

use clap::Args;

/// Compile one component from standard input; the host starts this, nobody else needs to
#[derive(Args)]
pub struct CompileWorker {
    /// The most memory, in bytes
    memory_bytes_max: u64,
    /// The most processor time, in seconds
    cpu_seconds_max: u64,
}

impl CompileWorker {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        kinetic_engine::compile_worker_main(self.memory_bytes_max, self.cpu_seconds_max)?;
        Ok(ExitCode::SUCCESS)
    }
}
