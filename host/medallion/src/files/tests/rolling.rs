//! When a part ends, what is in it, and what a writer refuses.

use super::*;

#[test]
fn a_part_ends_with_the_batch_that_makes_it_large_enough() {
    let folder = tempfile::tempdir().unwrap();
    let settings = PartSettings {
        part_bytes_max: 100_000,
        ..endless()
    };
    let mut writer = Writer::open(folder.path(), table(), settings).unwrap();
    let mut finished = Vec::new();
    for start in (0..200_000).step_by(5_000) {
        let part = writer.write(&rows(start..start + 5_000), start..start + 5_000, Instant::now());
        finished.extend(part.unwrap());
    }
    assert!(finished.len() > 3, "{finished:?}");
    for part in &finished {
        let bytes = std::fs::metadata(&part.path).unwrap().len();
        assert!((40_000..300_000).contains(&bytes), "{bytes}");
    }
    finished.extend(writer.finish().unwrap());
    assert_eq!(parts(folder.path()).unwrap(), finished);
    assert_eq!(stored(folder.path()), (0..200_000).collect::<Vec<_>>());
}

#[test]
fn a_part_ends_at_its_age_whether_rows_come_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let settings = PartSettings {
        part_age_max: Duration::from_secs(10),
        ..endless()
    };
    let mut writer = Writer::open(folder.path(), table(), settings).unwrap();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(writer.write(&rows(0..5), 0..5, at(0)), Ok(None));
    assert_eq!(writer.roll(at(9)), Ok(None));
    let first = writer.write(&rows(5..6), 5..6, at(10)).unwrap().unwrap();
    assert_eq!((first.first_offset, first.end_offset), (0, 6));
    assert_eq!(writer.roll(at(100)), Ok(None));
    assert_eq!(writer.write(&rows(6..7), 6..7, at(100)), Ok(None));
    let second = writer.roll(at(110)).unwrap().unwrap();
    assert_eq!((second.first_offset, second.end_offset), (6, 7));
    assert_eq!(writer.finish(), Ok(None));
}

#[test]
fn a_part_says_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let part = write_part(folder.path(), 40..100);
    let name = "part-00000000000000000040-00000000000000000100.parquet";
    assert_eq!(part.path, folder.path().join(name));
    assert_eq!(names_in(folder.path()), [name]);
    let file = std::fs::File::open(&part.path).unwrap();
    let metadata = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let file = metadata.metadata().file_metadata();
    assert_eq!(file.created_by(), Some("kinetic"));
    let said = |key: &str| {
        let all = file.key_value_metadata().unwrap();
        all.iter()
            .find(|pair| pair.key == key)
            .and_then(|pair| pair.value.clone())
    };
    let said = [FIRST_OFFSET_KEY, END_OFFSET_KEY, SCHEMA_VERSION_KEY].map(said);
    assert_eq!(said, ["40", "100", "7"].map(|value| Some(value.to_owned())));
}

#[test]
fn rows_and_schema_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let part = write_part(folder.path(), 40..100);
    let mut read = read_part(&part).unwrap();
    assert_eq!(read.schema(), table().schema);
    assert_eq!(read.schema_version(), "7");
    assert_eq!(read.next(), Some(Ok(rows(40..100))));
    assert_eq!(read.next(), None);
}

#[test]
fn what_a_batch_says_of_its_schema_is_not_the_table_s_affair() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(0..10);
    let bare = Arc::new(Schema::new(rows.schema().fields().clone()));
    let bare = RecordBatch::try_new(bare, rows.columns().to_vec()).unwrap();
    let mut writer = open(folder.path());
    writer.write(&bare, 0..10, Instant::now()).unwrap();
    let part = writer.finish().unwrap().unwrap();
    assert_eq!(read_part(&part).unwrap().next(), Some(Ok(rows)));
}

#[test]
fn offsets_may_have_more_or_fewer_rows_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    writer.write(&rows(0..3), 0..100, Instant::now()).unwrap();
    writer.write(&rows(0..0), 100..200, Instant::now()).unwrap();
    writer.finish().unwrap();
    let empty = writer.write(&rows(0..0), 200..300, Instant::now());
    assert_eq!(empty, Ok(None));
    writer.finish().unwrap();
    assert_eq!(stored(folder.path()), [0, 1, 2]);
    assert_eq!((writer.next_offset(), writer.durable_offset()), (Some(300), Some(300)));
}

#[test]
fn rows_that_do_not_follow_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    assert_eq!(writer.next_offset(), None);
    writer.write(&rows(5..8), 5..8, Instant::now()).unwrap();
    assert_eq!((writer.next_offset(), writer.durable_offset()), (Some(8), None));
    for offsets in [9..10, 7..10, 8..8, 0..1] {
        let error = writer.write(&rows(9..10), offsets, Instant::now()).unwrap_err();
        assert!(
            matches!(error, MedallionError::NotNext { next_offset: 8, .. }),
            "{error}"
        );
    }
    let other = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)])));
    let error = writer.write(&other, 8..9, Instant::now()).unwrap_err();
    assert!(matches!(error, MedallionError::OtherSchema { .. }), "{error}");
    writer.write(&rows(8..9), 8..9, Instant::now()).unwrap();
    writer.finish().unwrap();
    assert_eq!(stored(folder.path()), [5, 6, 7, 8]);
}

#[test]
fn a_writer_goes_on_where_the_last_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    write_part(folder.path(), 0..10);
    let mut writer = open(folder.path());
    assert_eq!(writer.next_offset(), Some(10));
    writer.write(&rows(10..20), 10..20, Instant::now()).unwrap();
    writer.finish().unwrap();
    assert_eq!(stored(folder.path()), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_folder_has_one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let error = Writer::open(folder.path(), table(), endless()).unwrap_err();
    assert!(matches!(error, MedallionError::InUse { .. }), "{error}");
    drop(first);
    open(folder.path());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [
        PartSettings {
            row_group_rows: 0,
            ..endless()
        },
        PartSettings {
            zstd_level: 99,
            ..endless()
        },
    ] {
        let error = Writer::open(folder.path(), table(), settings).unwrap_err();
        assert!(matches!(error, MedallionError::InvalidSetting { .. }), "{error}");
    }
}
