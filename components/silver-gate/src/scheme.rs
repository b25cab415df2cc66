//! How ids are made, as everybody who recomputes them has to know it.

/// The scheme's name.
pub const NAME: &str = "kinetic-identity";
/// The scheme's version. Ids of one version never change.
pub const VERSION: &str = "1";
/// The namespace of the UUIDv5.
pub const NAMESPACE: &str = "91e8f5f8-3e28-592a-ab23-5295dcf92dd7";
/// The namespace's bytes.
pub(crate) const NAMESPACE_BYTES: [u8; 16] = 0x91e8_f5f8_3e28_592a_ab23_5295_dcf9_2dd7_u128.to_be_bytes();
