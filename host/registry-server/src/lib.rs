//! A registry of one's own: publications are checked as a host checks them, kept in any store, and never change.
//!
//! Whoever asks it believes it in nothing: receipts say who built a capsule, and the signed index of a namespace says which
//! versions there are. The server refuses early what every host would refuse later, keeps versions immutable by writes that
//! only one can win, and signs indexes whose version only grows.

mod body;
mod catalogue;
mod error;
mod errors_page;
mod front;
mod indexes;
mod layout;
mod manifest;
mod problem;
mod promotions;
mod publication;
mod quota;
mod record;
mod registry;
mod routes;
mod search;
mod server;
mod settings;
mod store;
mod tls;
mod tokens;

pub use error::ServerError;
pub use server::{Bound, bind};
pub use settings::Settings;
pub use store::StoreAddress;
pub use tokens::{Namespaces, NewToken, Quota, Right, add_token};
