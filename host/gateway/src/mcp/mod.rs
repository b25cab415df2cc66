//! MCP: every function of every active capsule is a tool, over streamable HTTP and over standard streams.

mod handler;
mod http;
mod names;
mod result;
mod stdio;
mod tools;

pub(crate) use http::{Service, serve};
pub use stdio::serve_stdio_mcp;
