//! MCP over standard input and output, for clients that start their servers themselves.

use kinetic_kernel::Kernel;
use rmcp::ServiceExt as _;

use super::handler::{Common, Handler};
use crate::calls::Calls;
use crate::{GatewayConfig, GatewayError};

/// Serves every function of every active capsule as a tool until standard input ends. One message is one line, of at most
/// 16 MiB. Nothing else may write to standard output meanwhile.
///
/// # Errors
/// [`GatewayError::StdioFailed`] when the client does not begin as MCP says, or the connection breaks.
pub async fn serve_stdio_mcp(kernel: Kernel) -> Result<(), GatewayError> {
    let common = Common::new(Calls::new(kernel), GatewayConfig::default().requests_max);
    let failed = |why: String| GatewayError::StdioFailed {
        why: why.trim_end_matches('.').to_string(),
    };
    // Boxed: it has room for every request there is.
    let beginning = Box::pin(Handler::new(common).serve(rmcp::transport::io::stdio_pipes()));
    let running = match beginning.await {
        Ok(running) => running,
        // A client that went away before it said anything did nothing wrong.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    running.waiting().await.map_err(|e| failed(e.to_string()))?;
    Ok(())
}
