//! `kinetic mcp`: every function of every capsule as an MCP tool, over standard input and output.

use std::process::ExitCode;

use clap::Args;

use super::Context;
use crate::data_dir::DataDir;
use crate::{boot, logging};

/// Serve all capabilities as MCP tools over standard input and output
///
/// For MCP clients that start their servers themselves. Needs no running host, and has the data
/// folder to itself: a host that runs serves the same tools at /mcp over streamable HTTP.
///
///     kinetic mcp --data ./data
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Mcp {}

impl Mcp {
    pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
        let config = context.load(None)?.config;
        logging::start(&config.host);
        super::block_on(async {
            let data = DataDir::open(&context.data()?)?;
            let claim = data.lock()?;
            let kernel = boot::kernel(&config, &data, &claim).await?;
            kernel.activate_all().await;
            kinetic_gateway::serve_stdio_mcp(kernel).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
