//! What is not taken, why, and what is kept of it.

use super::*;

fn reason(event: &[u8]) -> String {
    let (batch, totals) = read(Framing::Lines, event);
    assert_eq!((totals.arrived, totals.events, totals.rejected), (1, 0, 1));
    assert_eq!(batch.rejects.num_rows(), 1);
    let reason = text(&batch.rejects, "reason").unwrap().to_owned();
    assert_eq!(
        totals.listed,
        [Rejected {
            line: 1,
            reason: reason.clone()
        }]
    );
    reason
}

#[test]
fn each_fault_has_its_reason() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let id = format!(r#"{{"intent_id":"{}"}}"#, "x".repeat(513));
    for (event, expected) in [
        (
            b"{\"a\":".as_slice(),
            "it is not JSON: EOF while parsing a value at line 1 column 5",
        ),
        (b"{} {}", "it is not JSON: trailing characters at line 1 column 4"),
        (b"{\"token\":\"\\ud800\"}", "it is not JSON: "),
        (b"hello", "it is not JSON: "),
        (b"5", "it is not a JSON object"),
        (b"[1]", "it is not a JSON object"),
        (b"{\"a\":\"\xff\"}", "it is not UTF-8"),
        (
            deep.as_bytes(),
            "its objects and arrays lie in each other more than 64 deep",
        ),
        (b"{\"topic\":\"Bad\"}", "its topic is not of the form "),
        (b"{\"topic\":5}", "its topic is not of the form "),
        (id.as_bytes(), "its intent_id is longer than 512 bytes"),
    ] {
        let said = reason(event);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn depth_and_ids_are_taken_up_to_their_limits() {
    row(&format!(r#"{{"a":{}{}}}"#, "[".repeat(63), "]".repeat(63)));
    row(&format!(r#"{{"intent_id":"{}"}}"#, "x".repeat(512)));
    row(&format!(r#"{{"a":"{}"}}"#, "[".repeat(1000)));
}

#[test]
fn an_event_is_taken_up_to_its_largest_size_and_a_longer_one_is_skipped() {
    let event = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let input = format!("{}\n{}\n{{}}\n", event(EVENT_BYTES_MAX), event(EVENT_BYTES_MAX + 1));
    for chunk_bytes in [1000, EVENT_BYTES_MAX, input.len()] {
        let (batches, totals) =
            read_in_chunks(Framing::Lines, ReaderSettings::default(), input.as_bytes(), chunk_bytes);
        let rejects = &batches[0].rejects;
        assert_eq!((totals.events, totals.rejected), (2, 1));
        assert_eq!(u64_of(rejects, "line"), Some(2));
        assert_eq!(
            text(rejects, "reason"),
            Some("it is 1048577 bytes long, more than 1048576")
        );
        assert_eq!(
            text(rejects, "data").unwrap(),
            &event(EVENT_BYTES_MAX + 1)[..REJECT_DATA_BYTES_MAX]
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_kept_as_far_as_they_can_be() {
    let (batch, _) = read(Framing::Lines, b"a\xffb\n");
    assert_eq!(text(&batch.rejects, "data"), Some("a\u{fffd}b"));
    let cut = format!("{}é", "x".repeat(REJECT_DATA_BYTES_MAX - 1));
    let (batch, _) = read(Framing::Lines, cut.as_bytes());
    assert_eq!(text(&batch.rejects, "data").unwrap().len(), REJECT_DATA_BYTES_MAX - 1);
}

#[test]
fn all_rejects_are_counted_and_handed_out_and_the_first_hundred_listed() {
    let (batch, totals) = read(Framing::Lines, "x\n".repeat(250).as_bytes());
    assert_eq!((totals.arrived, totals.rejected, totals.listed.len()), (250, 250, 100));
    assert_eq!(batch.rejects.num_rows(), 250);
    assert_eq!(totals.listed[99].line, 100);
}
