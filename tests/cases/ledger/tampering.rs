//! Whatever is changed in a log's files is found, and named.

use std::fs;

use kinetic_identity::SigningKey;
use kinetic_testkit::host::Host;
use serde_json::json;

use super::files::{Files, Frame, HEADER, leaf_of, number, repair_checksum};
use super::{Caller, REDACT, Random, verify};

/// A log of several segments and checkpoints that no host writes any more.
struct Sealed {
    folder: tempfile::TempDir,
    files: Files,
    frames: Vec<Frame>,
}

impl Sealed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("KINETIC_LEDGER__SEGMENT_BYTES", "65536"),
            ("KINETIC_LEDGER__CHECKPOINT_RECORDS", "50"),
        ];
        let mut host = Host::start_in(folder.path(), &variables);
        let mut caller = Caller::connect(&host.url).unwrap();
        for i in 0..400 {
            let text = json!({ "text": format!("{i:06} a@example.com") });
            caller.execute(REDACT, "scrub", &text).unwrap();
        }
        drop(caller);
        host.stop();
        drop(host);
        let files = Files::read(folder.path());
        let frames = files.frames();
        assert!(files.segments.len() >= 5 && frames.len() > 400);
        assert!(frames.iter().enumerate().all(|(i, frame)| frame.seq == i as u64));
        let clean = verify(folder.path(), &[]).fine().json();
        assert_eq!(
            (&clean["records"], &clean["covered"], &clean["findings"]),
            (&json!(frames.len()), &json!(frames.len()), &json!([])),
            "{clean:#}"
        );
        assert!(clean["checkpoints"].as_u64().unwrap() >= 5, "{clean:#}");
        Self { folder, files, frames }
    }

    fn last(&self) -> u64 {
        self.frames.len() as u64 - 1
    }

    /// Two records of equal length, some way apart, in one segment.
    fn twins(&self) -> (Frame, Frame) {
        let pairs = self.frames.iter().skip(100).zip(self.frames.iter().skip(103));
        let mut equal = pairs.filter(|(a, b)| a.segment == b.segment && a.place.len() == b.place.len());
        let (one, two) = equal.next().expect("two records of equal length");
        (one.clone(), two.clone())
    }

    /// Verifies the changed files: exit status 3, and the first finding is about this record.
    fn finds(&self, changed: &Files, seq: u64, what: &str) {
        self.finds_with(changed, seq, what, &[]);
    }

    fn finds_with(&self, changed: &Files, seq: u64, what: &str, args: &[&str]) {
        changed.write(self.folder.path());
        let said = verify(self.folder.path(), args);
        assert_eq!(said.status, 3, "{what}, record {seq}: {said:?}");
        let document = said.json();
        assert_eq!(document["findings"][0]["seq"], json!(seq), "{what}: {document:#}");
        assert_eq!(document["ok"], json!(false));
    }
}

#[test]
fn a_flipped_bit_is_found_in_the_very_record_it_is_in() {
    let (sealed, mut random) = (Sealed::new(), Random::new());
    for _ in 0..100 {
        let frame = &sealed.frames[random.below(sealed.last() + 1) as usize];
        let bit = random.below(frame.place.len() as u64 * 8);
        let mut changed = sealed.files.clone();
        changed.bytes(frame)[bit as usize / 8] ^= 1 << (bit % 8);
        sealed.finds(
            &changed,
            frame.seq,
            &format!("bit {bit} of {} bytes", frame.place.len()),
        );
    }
    for i in 0..sealed.files.segments.len() {
        let mut changed = sealed.files.clone();
        let first = number(&changed.segments[i].1[8..]);
        changed.segments[i].1[random.below(52) as usize] ^= 4;
        sealed.finds(&changed, first, "a segment's header");
    }
}

#[test]
fn records_that_were_dropped_swapped_or_cut_off_are_named() {
    let sealed = Sealed::new();
    let middle = &sealed.frames[sealed.frames.len() / 2];

    let mut changed = sealed.files.clone();
    changed.segments[middle.segment].1.drain(middle.place.clone());
    sealed.finds(&changed, middle.seq, "dropped");

    let mut changed = sealed.files.clone();
    changed.bytes(middle).fill(0);
    sealed.finds(&changed, middle.seq, "zeroed");

    let (one, two) = sealed.twins();
    let (first, second) = (
        sealed.files.clone().bytes(&one).to_vec(),
        sealed.files.clone().bytes(&two).to_vec(),
    );
    let mut changed = sealed.files.clone();
    changed.bytes(&one).copy_from_slice(&second);
    changed.bytes(&two).copy_from_slice(&first);
    sealed.finds(&changed, one.seq, "swapped whole, each with its own checksum");

    let mut changed = sealed.files.clone();
    for (frame, other) in [(&one, &second), (&two, &first)] {
        let bytes = changed.bytes(frame);
        bytes[HEADER..].copy_from_slice(&other[HEADER..]);
        repair_checksum(bytes);
    }
    sealed.finds(&changed, one.seq, "bodies swapped, checksums repaired");
    changed.repair_from(one.seq);
    sealed.finds(&changed, one.seq, "bodies swapped, all later hashes repaired");

    let last = sealed.frames.last().unwrap();
    let mut changed = sealed.files.clone();
    changed.segments[last.segment].1.truncate(last.place.start);
    sealed.finds(&changed, last.seq, "the last record cut off");
    changed = sealed.files.clone();
    changed.segments[last.segment].1.truncate(last.place.start + 70);
    sealed.finds(&changed, last.seq, "the last record cut in two");
}

#[test]
fn a_record_written_anew_with_all_later_hashes_is_named_by_the_tree_and_bounded_by_the_checkpoints() {
    let sealed = Sealed::new();
    let victim = &sealed.frames[sealed.frames.len() / 3];
    let mut changed = sealed.files.clone();
    let bytes = changed.bytes(victim);
    let text = String::from_utf8_lossy(bytes).into_owned();
    assert!(text.contains("\"status\":\"ok\""), "{text}");
    let at = bytes.windows(12).position(|window| window == b"\"output_hash").unwrap() + 30;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    changed.repair_from(victim.seq);
    sealed.finds(&changed, victim.seq, "its receipt tells another output");

    // The tree's own file made to agree: only the signatures are left, which name the span between two checkpoints.
    let place = victim.seq as usize * 32;
    let leaf = leaf_of(victim.seq, &changed.bytes(victim)[HEADER..]);
    changed.leaves[place..place + 32].copy_from_slice(&leaf);
    changed.write(sealed.folder.path());
    let said = verify(sealed.folder.path(), &[]);
    assert_eq!(said.status, 3, "{said:?}");
    let finding = &said.json()["findings"][0];
    let from = finding["seq"].as_u64().unwrap();
    assert!(from <= victim.seq && victim.seq - from < 200, "{finding:#}");
}

#[test]
fn a_removed_segment_is_missed_whichever_it_was() {
    let sealed = Sealed::new();
    for i in (0..sealed.files.segments.len()).rev() {
        let mut changed = sealed.files.clone();
        let (_, bytes) = changed.segments.remove(i);
        sealed.finds(&changed, number(&bytes[8..]), &format!("segment {i} removed"));
    }
}

#[test]
fn a_kept_checkpoint_finds_what_was_cut_off_together_with_its_checkpoints() {
    let sealed = Sealed::new();
    let all = &sealed.files.checkpoints;
    // Each note's last line is its signature.
    let (mut ends, mut at) = (Vec::new(), 0);
    for line in all.split_inclusive('\n') {
        at += line.len();
        if line.starts_with('\u{2014}') {
            ends.push(at);
        }
    }
    let newest = &all[ends[ends.len() - 2]..];
    let half = ends[ends.len() / 2];
    let start = ends[ends.len() / 2 - 1];
    let size: u64 = all[start..half].lines().nth(1).unwrap().parse().unwrap();
    let mut cut = sealed.files.clone();
    cut.checkpoints.truncate(half);
    let from = &sealed.frames[size as usize];
    cut.segments[from.segment].1.truncate(from.place.start);
    cut.segments.truncate(from.segment + 1);
    cut.leaves.truncate(size as usize * 32);
    let kept = sealed.folder.path().join("kept.txt");
    fs::write(&kept, newest).unwrap();
    let kept = kept.to_str().unwrap();

    verify(sealed.folder.path(), &["--checkpoint", kept]).fine();
    sealed.finds_with(&cut, size, "cut off with its checkpoints", &["--checkpoint", kept]);

    let other = format!("{}", SigningKey::generate().unwrap().public());
    sealed.files.write(sealed.folder.path());
    assert_eq!(
        verify(sealed.folder.path(), &["--key", &other]).status,
        3,
        "another key"
    );
}
