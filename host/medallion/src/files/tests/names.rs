//! What a folder may hold: parts that follow each other, and whatever is none of ours.

use super::*;

fn touch(folder: &Path, name: &str) {
    std::fs::write(folder.join(name), b"").unwrap();
}

fn fault(folder: &Path) -> MedallionError {
    let error = parts(folder).unwrap_err();
    let refused = Writer::open(folder, table(), endless()).map(drop);
    assert_eq!(refused, Err(error.clone()));
    error
}

#[test]
fn a_folder_that_is_not_there_has_no_parts() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("a/b");
    assert_eq!(parts(&missing), Ok(Vec::new()));
    assert_eq!(read_all(&missing).unwrap().count(), 0);
    open(&missing);
    assert!(missing.is_dir());
}

#[test]
fn a_missing_part_is_told_with_its_offsets() {
    let folder = tempfile::tempdir().unwrap();
    write_part(folder.path(), 0..10);
    let lost = write_part(folder.path(), 10..20);
    write_part(folder.path(), 20..30);
    std::fs::remove_file(lost.path).unwrap();
    let error = fault(folder.path());
    assert!(
        matches!(
            error,
            MedallionError::Gap {
                end_offset: 10,
                first_offset: 20,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn parts_that_hold_the_same_rows_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let part = write_part(folder.path(), 0..10);
    for offsets in [0..5, 9..20] {
        let other = Part::new(folder.path(), offsets);
        std::fs::copy(&part.path, &other.path).unwrap();
        let error = fault(folder.path());
        assert!(matches!(error, MedallionError::Overlap { .. }), "{error}");
        std::fs::remove_file(other.path).unwrap();
    }
}

#[test]
fn a_part_with_a_name_that_says_nothing_is_refused() {
    for name in [
        "part-1-2.parquet",
        "part-00000000000000000002-00000000000000000002.parquet",
        "part-99999999999999999998-99999999999999999999.parquet",
        "part-+0000000000000000001-00000000000000000002.parquet",
        "part-copy.parquet",
    ] {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), name);
        let error = fault(folder.path());
        assert!(matches!(error, MedallionError::BadName { .. }), "{error}");
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "other.parquet.tmp", "metrics.parquet"] {
        touch(folder.path(), name);
    }
    write_part(folder.path(), 0..10);
    assert_eq!(names_in(folder.path()).len(), 4);
    assert_eq!(parts(folder.path()).unwrap().len(), 1);
}

#[test]
fn a_part_under_another_s_name_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let part = write_part(folder.path(), 0..10);
    let other = Part::new(folder.path(), 0..11);
    std::fs::rename(part.path, &other.path).unwrap();
    let error = read_part(&other).unwrap_err();
    assert!(matches!(error, MedallionError::Damaged { .. }), "{error}");
}

#[test]
fn a_part_that_was_cut_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let part = write_part(folder.path(), 0..10_000);
    let bytes = std::fs::read(&part.path).unwrap();
    std::fs::write(&part.path, &bytes[..bytes.len() / 2]).unwrap();
    let error = read_all(folder.path()).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(error, MedallionError::Damaged { .. }), "{error}");
}
