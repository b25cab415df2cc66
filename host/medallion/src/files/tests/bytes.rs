//! The same rows give the same bytes.

use super::*;

fn bytes_of(batches: &[Range<u64>], settings: PartSettings) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), table(), settings).unwrap();
    for offsets in batches {
        writer
            .write(&rows(offsets.clone()), offsets.clone(), Instant::now())
            .unwrap();
    }
    std::fs::read(writer.finish().unwrap().unwrap().path).unwrap()
}

#[test]
fn the_same_batches_give_the_same_bytes() {
    let batches = [0..20_000, 20_000..20_001, 20_001..40_000];
    assert_eq!(bytes_of(&batches, endless()), bytes_of(&batches, endless()));
}

#[test]
fn the_same_rows_give_the_same_bytes_whatever_their_batches() {
    let settings = PartSettings {
        row_group_rows: 10_000,
        ..endless()
    };
    let whole = bytes_of(std::slice::from_ref(&(0..30_000)), settings);
    let sizes: Vec<u64> = [1, 999, 4_096, 8_192, 8_193, 3].into_iter().cycle().take(30).collect();
    let mut start = 0;
    let pieces: Vec<_> = sizes
        .into_iter()
        .map(|size| {
            let piece = start..(start + size).min(30_000);
            start = piece.end;
            piece
        })
        .filter(|piece| !piece.is_empty())
        .collect();
    assert_eq!(pieces.last().unwrap().end, 30_000);
    assert_eq!(bytes_of(&pieces, settings), whole);
}

#[test]
fn row_groups_have_the_rows_they_were_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let settings = PartSettings {
        row_group_rows: 10_000,
        ..endless()
    };
    let mut writer = Writer::open(folder.path(), table(), settings).unwrap();
    for start in (0..25_000).step_by(500) {
        writer
            .write(&rows(start..start + 500), start..start + 500, Instant::now())
            .unwrap();
    }
    let part = writer.finish().unwrap().unwrap();
    let file = std::fs::File::open(part.path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let groups: Vec<_> = reader
        .metadata()
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::num_rows)
        .collect();
    assert_eq!(groups, [10_000, 10_000, 5_000]);
}
