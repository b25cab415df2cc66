//! `kinetic worker`: the process that the host starts to make calls of one tenant's capsules in.

use std::process::ExitCode;

use clap::Args;

use crate::boot;

/// Make calls that a host asks for on standard input; the host starts this, nobody else needs to
#[derive(Args)]
pub struct Worker {}

impl Worker {
    pub(super) fn run() -> anyhow::Result<ExitCode> {
        kinetic_engine::worker_main(boot::providers_in_worker())?;
        Ok(ExitCode::SUCCESS)
    }
}
