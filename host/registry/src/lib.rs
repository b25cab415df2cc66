//! URN to bytes: the folder store, what the program itself carries, registries by name (other hosts, OCI, folders), and
//! the one way to fetch from any of them.
//!
//! A registry is believed in nothing. What it hands out is bounded, and checked against the digest that was asked for;
//! whether the digest itself is to be trusted is decided by the receipt, elsewhere.

mod cache;
mod carried;
mod credentials;
mod descriptor;
mod error;
mod fetch;
mod http_source;
mod oci;
mod patience;
mod promotion;
mod publish;
mod range;
mod registries;
mod source;
mod store;
mod wire;
mod yank;

pub use cache::Cache;
pub use carried::Carried;
pub use descriptor::{DESCRIPTOR_BYTES_MAX, Descriptor, MANIFEST_BYTES_MAX, Summary};
pub use error::RegistryError;
pub use fetch::fetch;
pub use http_source::{HttpOptions, HttpSource, install_ring_provider_once};
pub use oci::OciAddress;
pub use patience::Patience;
pub use promotion::{AcceptedPromotion, Promoted, accept_promotion, promotion_path, same_promotion};
pub use publish::Published;
pub use registries::{Indexes, Left, Missed, Place, Publish, Registries, Registry, Renewal, Renewed, Scope};
pub use source::{ByteStream, Download, FoundThere, IndexAnswer, Rest, Source};
pub use store::{BlobFolder, COMPONENT_BYTES_MAX_DEFAULT, Damaged, FolderSource, FolderStore};
pub use wire::refusal_of;
pub use yank::Yanked;
