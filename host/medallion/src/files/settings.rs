//! How large and how old a part may become, and how its rows are packed.

use std::time::Duration;

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::SCHEMA_VERSION_KEY;
use crate::MedallionError;

/// Who wrote a file, always the same so that bytes are.
const CREATED_BY: &str = "kinetic";
/// How much of a row group is held in memory at most, in bytes as they are encoded.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

/// How a table's parts are cut and packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSettings {
    /// A part ends with the batch that makes it about this large, in bytes on disk, measured each 8,192 rows. 128 MiB by
    /// default.
    pub part_bytes_max: u64,
    /// A part ends at this age. A minute by default.
    pub part_age_max: Duration,
    /// Rows in a row group. 65,536 by default.
    pub row_group_rows: usize,
    /// The zstd level, 1 to 22. 1 by default.
    pub zstd_level: i32,
}

impl Default for PartSettings {
    fn default() -> Self {
        Self {
            part_bytes_max: 128 << 20,
            part_age_max: Duration::from_mins(1),
            row_group_rows: 65_536,
            zstd_level: 1,
        }
    }
}

impl PartSettings {
    /// How a file of this schema version is to be written.
    pub(super) fn properties(self, schema_version: &str) -> Result<WriterProperties, MedallionError> {
        let invalid = |setting: &str, why: String| MedallionError::InvalidSetting {
            setting: setting.into(),
            why,
        };
        if self.row_group_rows == 0 {
            return Err(invalid("row_group_rows", "a row group has at least one row".into()));
        }
        let level = ZstdLevel::try_new(self.zstd_level).map_err(|error| invalid("zstd_level", error.to_string()))?;
        let version = KeyValue::new(SCHEMA_VERSION_KEY.to_owned(), schema_version.to_owned());
        Ok(WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![version]))
            .build())
    }
}
