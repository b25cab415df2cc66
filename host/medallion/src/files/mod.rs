//! Keeps a table as a folder of Parquet files, each complete under its name or not there at all.
//!
//! A part is named `part-{first_offset:020}-{end_offset:020}.parquet`: it holds what became of its source's rows from the
//! first offset up to, not including, the end. A table's parts follow each other without gaps, so its end is where its
//! source is to be read on after a crash, and no row is lost or doubled.
//!
//! A part is written under `part-{first_offset:020}.parquet.tmp`, synced, renamed, and its folder synced. What has a
//! temporary name at opening is of a writer that died, and is removed. Who reads the folder with another tool while it is
//! written reads `*.parquet`.
//!
//! A part's bytes depend on its rows, its offsets and the [`PartSettings`] alone; not on when it was written, nor, as long
//! as 8,192 rows take less than 64 MiB, on the batches the rows came in. Its key-value metadata has [`FIRST_OFFSET_KEY`],
//! [`END_OFFSET_KEY`] and [`SCHEMA_VERSION_KEY`] beside the Arrow schema.

mod chunks;
mod disk;
pub(crate) mod fault;
mod open_part;
mod parts;
mod read;
mod settings;
#[cfg(test)]
mod tests;
mod writer;

pub use disk::{Disk, PartFile, SystemDisk};
pub use parts::{Part, parts};
pub use read::{PartRows, TableRows, read_all, read_part};
pub use settings::PartSettings;
pub use writer::{Table, Writer};

/// The key of the first offset in a part's metadata, a decimal number.
pub const FIRST_OFFSET_KEY: &str = "kinetic.first_offset";

/// The key of the offset behind the last one in a part's metadata, a decimal number.
pub const END_OFFSET_KEY: &str = "kinetic.end_offset";

/// The key of the version of the table's schema in a part's metadata.
pub const SCHEMA_VERSION_KEY: &str = "kinetic.schema_version";
