//! HTTP and MCP: outside words become native types here, and only here.
//!
//! [`bind`] takes an address and [`Bound::serve`] answers there; [`serve_stdio_mcp`] speaks MCP over standard streams. Every
//! failure is an RFC 9457 problem with a stable code, over MCP a tool error with the same members.

mod answer;
mod app;
mod ask;
mod auth;
mod body;
mod browser;
mod calls;
mod capabilities;
mod capsules;
mod config;
mod discovery;
mod error;
mod errors_page;
mod execute;
mod first_bytes;
mod front;
mod health;
mod json_guard;
mod ledger;
mod mcp;
mod metrics;
mod openapi;
mod outbox;
mod problem;
mod promotions;
mod registry_routes;
mod request_id;
mod server;
mod state;
mod telemetry;
mod topics;
mod waiting;
mod zones;

pub use app::Activating;
pub use config::GatewayConfig;
pub use error::GatewayError;
pub use kinetic_http_server::ErrorTables;
pub use mcp::serve_stdio_mcp;
pub use openapi::openapi;
pub use server::{Bound, bind};
pub use telemetry::{Operator, Telemetry};
