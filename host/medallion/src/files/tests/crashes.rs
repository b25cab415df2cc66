//! Whatever operation fails or is the last one: no row is lost or doubled, and no half file has a final name.

use std::io::ErrorKind;
use std::sync::LazyLock;

use super::faulty::{Fault, FaultyDisk};
use super::*;

const ROWS: u64 = 60_000;
const BATCH_ROWS: u64 = 9_000;

static ALL: LazyLock<RecordBatch> = LazyLock::new(|| rows(0..ROWS));

/// Small row groups, so that writes happen all along; small parts, so that there are several.
fn settings() -> PartSettings {
    PartSettings {
        part_bytes_max: 60_000,
        row_group_rows: 2_500,
        ..endless()
    }
}

/// Offers the rows that are missing until all are in finished parts, or an error.
#[expect(clippy::cast_possible_truncation, reason = "offsets of a test")]
fn write_missing(writer: &mut Writer) -> Result<(), MedallionError> {
    while let Some(start) = Some(writer.next_offset().unwrap_or(0)).filter(|start| *start < ROWS) {
        let offsets = start..(start + BATCH_ROWS).min(ROWS);
        let (start, length) = (offsets.start as usize, (offsets.end - offsets.start) as usize);
        writer.write(&ALL.slice(start, length), offsets, Instant::now())?;
    }
    writer.finish().map(drop)
}

/// What must hold on disk at any time: parts in order, each complete, with the rows up to the last one's end.
fn check(folder: &Path) {
    let end = parts(folder).unwrap().last().map_or(0, |part| part.end_offset);
    assert_eq!(stored(folder), (0..end).collect::<Vec<_>>());
}

fn check_all(folder: &Path) {
    assert_eq!(stored(folder), (0..ROWS).collect::<Vec<_>>());
    assert_eq!(names_in(folder).len(), parts(folder).unwrap().len());
}

/// Runs a writer on a disk that fails at each operation in turn, until there are no more of them.
fn at_each_operation(fault: Fault, mut after: impl FnMut(&Path, Option<Writer>, MedallionError)) {
    for fails_at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new(fails_at, fault);
        let opened = Writer::open_on(Arc::new(disk.clone()), folder.path(), table(), settings());
        match opened {
            Ok(mut writer) => match write_missing(&mut writer) {
                Ok(()) => {
                    assert!(!disk.failed() && fails_at > 30, "{fails_at}");
                    return;
                }
                Err(error) => after(folder.path(), Some(writer), error),
            },
            Err(error) => after(folder.path(), None, error),
        }
    }
}

#[test]
fn a_process_that_dies_at_any_operation_loses_and_doubles_nothing() {
    at_each_operation(Fault::Dead, |folder, writer, _| {
        let durable = writer.as_ref().and_then(Writer::durable_offset);
        drop(writer);
        check(folder);
        let mut next = Writer::open(folder, table(), settings()).unwrap();
        assert!(next.durable_offset() >= durable);
        assert_eq!(
            names_in(folder).len(),
            parts(folder).unwrap().len(),
            "leftovers are removed"
        );
        write_missing(&mut next).unwrap();
        check_all(folder);
    });
}

#[test]
fn a_disk_that_is_full_at_any_operation_is_told_and_writing_goes_on_when_there_is_room() {
    at_each_operation(Fault::Once(ErrorKind::StorageFull), |folder, writer, error| {
        assert!(matches!(error, MedallionError::DiskFull { .. }), "{error}");
        check(folder);
        let mut writer = writer.unwrap_or_else(|| Writer::open(folder, table(), settings()).unwrap());
        assert_eq!(writer.next_offset(), writer.durable_offset());
        assert_eq!(
            names_in(folder).len(),
            parts(folder).unwrap().len(),
            "nothing half remains"
        );
        write_missing(&mut writer).unwrap();
        check_all(folder);
    });
}

#[test]
fn another_error_of_the_disk_is_told_with_its_words() {
    at_each_operation(Fault::Once(ErrorKind::PermissionDenied), |folder, _, error| {
        assert!(
            matches!(&error, MedallionError::Io { why, .. } if why == "permission denied"),
            "{error}"
        );
        check(folder);
    });
}

#[test]
fn a_writer_whose_last_name_may_not_survive_takes_nothing_more() {
    let mut unknown = 0;
    at_each_operation(Fault::Dead, |folder, writer, _| {
        let Some(mut writer) = writer else { return };
        let end = parts(folder).unwrap().last().map(|part| part.end_offset);
        if end > writer.durable_offset() {
            unknown += 1;
            let start = writer.next_offset().unwrap_or(0);
            let error = writer
                .write(&rows(start..start + 1), start..start + 1, Instant::now())
                .unwrap_err();
            assert!(error.to_string().contains("opened again"), "{error}");
        }
    });
    assert!(unknown > 1, "{unknown}");
}

#[test]
fn what_a_dead_writer_left_is_removed_at_opening_however_much_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let part = write_part(folder.path(), 0..10_000);
    let bytes = std::fs::read(&part.path).unwrap();
    for length in [0, 1, 4, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
        let left = folder.path().join("part-00000000000000010000.parquet.tmp");
        std::fs::write(&left, &bytes[..length]).unwrap();
        assert_eq!(stored(folder.path()).len(), 10_000);
        assert_eq!(open(folder.path()).next_offset(), Some(10_000));
        assert!(!left.exists());
    }
}

#[test]
fn a_file_that_has_the_part_s_name_already_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    writer.write(&rows(0..10), 0..10, Instant::now()).unwrap();
    let other = Part::new(folder.path(), 0..10);
    std::fs::write(&other.path, b"precious").unwrap();
    let error = writer.finish().unwrap_err();
    assert!(matches!(error, MedallionError::Io { .. }), "{error}");
    assert_eq!(std::fs::read(&other.path).unwrap(), b"precious");
    assert_eq!(names_in(folder.path()).len(), 1);
}
