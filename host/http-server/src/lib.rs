//! What every HTTP server of the host needs: accepting within limits, stalled peers, bounded bodies, problems.
//!
//! A server says what is answered and with which codes; nothing here has a code of its own. [`accept_until`] takes connections
//! and [`Connection::serve`] speaks HTTP/1.1 on each, within [`Limits`] of which none can be switched off.

pub mod body;
mod connections;
mod errors_page;
pub mod problem;
pub mod range;
mod stall;

pub use body::BodyFailure;
pub use connections::{Connection, Limits, Open, accept_until};
pub use errors_page::{ErrorPages, ErrorTables};
pub use stall::Stall;
