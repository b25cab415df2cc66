//! Where events end: lines, arrays, documents, and chunks that cut them anywhere.

use super::*;

/// What came of a stream, the same for every size of its chunks.
fn datas(framing: Framing, input: &str) -> (Vec<String>, Vec<(u64, String)>) {
    let mut all = Vec::new();
    for chunk_bytes in [1, 2, 3, 7, 4096] {
        let (batches, totals) = read_in_chunks(framing, ReaderSettings::default(), input.as_bytes(), chunk_bytes);
        let events = batches.iter().flat_map(|batch| texts(&batch.events, "data"));
        let events: Vec<String> = events.map(|data| data.unwrap().to_owned()).collect();
        let rejects = batches.iter().flat_map(|batch| {
            let lines = numbers::<UInt64Type>(&batch.rejects, "line");
            lines.into_iter().zip(texts(&batch.rejects, "data"))
        });
        let rejects: Vec<_> = rejects
            .map(|(line, data)| (line.unwrap(), data.unwrap().to_owned()))
            .collect();
        assert_eq!(totals.arrived, (events.len() + rejects.len()) as u64);
        all.push((events, rejects));
    }
    all.dedup();
    assert_eq!(
        all.len(),
        1,
        "the size of the chunks changed what was read of {input:?}"
    );
    all.remove(0)
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn lines_may_be_blank_end_in_crlf_and_lack_their_last_end() {
    let (events, rejects) = datas(Framing::Lines, "\n{\"a\":1}\r\n  \n\r\n{\"a\":2}\nnot\n{\"a\":3}");
    assert_eq!(events, owned(&[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]));
    assert_eq!(rejects, [(6, "not".to_owned())]);
}

#[test]
fn nothing_and_blanks_are_no_events() {
    for input in ["", "\n", " \r\n\t", "[]", " [ ] \n"] {
        for framing in [Framing::Lines, Framing::Document] {
            assert_eq!(datas(framing, input), (Vec::new(), Vec::new()), "{input:?}");
        }
    }
}

#[test]
fn an_array_of_objects_is_recognised_on_one_line_and_on_many() {
    for input in [
        r#"[{"a":"}]\\\""},{"b":[{}]},{}]"#,
        "\n [\n  {\"a\":\"}]\\\\\\\"\"},\n{\"b\":[{}]}\n, {}\n]\n",
    ] {
        for framing in [Framing::Lines, Framing::Document] {
            let (events, rejects) = datas(framing, input);
            assert_eq!(events, owned(&[r#"{"a":"}]\\\""}"#, r#"{"b":[{}]}"#, "{}"]));
            assert_eq!(rejects, []);
        }
    }
}

#[test]
fn lines_that_begin_with_a_bracket_are_no_array() {
    let (events, rejects) = datas(Framing::Lines, "[DONE]\n{\"a\":1}\n");
    assert_eq!(events, owned(&["[DONE]", r#"{"a":1}"#]));
    assert_eq!(rejects, []);
    let (events, rejects) = datas(Framing::Lines, "[ INFO] starting\n{\"a\":1}\n");
    assert_eq!(events, owned(&[r#"{"a":1}"#]));
    assert_eq!(rejects, [(1, "[ INFO] starting".to_owned())]);
    assert_eq!(datas(Framing::Lines, "\n[ ").1, [(2, "[ ".to_owned())]);
}

#[test]
fn a_document_is_an_object_on_many_lines_or_several_of_them() {
    let pretty = "{\n  \"a\": [\n    1\n  ]\n}";
    assert_eq!(datas(Framing::Document, pretty).0, owned(&[pretty]));
    let (events, rejects) = datas(Framing::Document, "{\"a\":1}\n{\"a\":2}{}\n[{}]");
    assert_eq!(events, owned(&[r#"{"a":1}"#, r#"{"a":2}"#, "{}", "{}"]));
    assert_eq!(rejects, []);
}

#[test]
fn elements_that_are_no_objects_do_not_stop_those_behind_them() {
    let (events, rejects) = datas(Framing::Document, r#"[{"a":1},5,"x,]\"",null,[{}],{bad},nan,{"a":2}]"#);
    assert_eq!(events, owned(&[r#"{"a":1}"#, r#"{"a":2}"#]));
    let rejected: Vec<_> = rejects.iter().map(|(place, data)| (*place, data.as_str())).collect();
    let expected = [
        (2, "5"),
        (3, r#""x,]\"""#),
        (4, "null"),
        (5, "[{}]"),
        (6, "{bad}"),
        (7, "nan"),
    ];
    assert_eq!(rejected, expected);
}

#[test]
fn a_document_that_ends_too_early_leaves_a_reject() {
    assert_eq!(
        datas(Framing::Document, r#"[{"a":1},{"b""#).1,
        [(2, r#"{"b""#.to_owned())]
    );
    assert_eq!(datas(Framing::Document, r#"[{"a":1}"#).1, [(2, String::new())]);
    assert_eq!(datas(Framing::Document, r#"[{"a":1},7"#).1, [(2, "7".to_owned())]);
    assert_eq!(datas(Framing::Document, "{").1, [(1, "{".to_owned())]);
    assert_eq!(
        datas(Framing::Document, "] 7").1,
        [(1, "]".to_owned()), (2, "7".to_owned())]
    );
}

#[test]
fn batches_end_at_so_many_events_or_bytes() {
    let input = "{\"a\":1}\nbad\n".repeat(5);
    let by_events = ReaderSettings {
        batch_events_max: 4,
        ..ReaderSettings::default()
    };
    let (batches, totals) = read_in_chunks(Framing::Lines, by_events, input.as_bytes(), input.len());
    let rows: Vec<_> = batches
        .iter()
        .map(|batch| (batch.events.num_rows(), batch.rejects.num_rows()))
        .collect();
    assert_eq!(rows, [(2, 2), (2, 2), (1, 1)]);
    assert_eq!((totals.arrived, totals.events, totals.rejected), (10, 5, 5));
    let by_bytes = ReaderSettings {
        batch_bytes_max: 1,
        ..ReaderSettings::default()
    };
    assert_eq!(
        read_in_chunks(Framing::Lines, by_bytes, input.as_bytes(), 3).0.len(),
        10
    );
}

#[test]
fn what_was_read_can_be_handed_out_before_a_batch_is_full() {
    let mut reader = Reader::new(Framing::Lines, ReaderSettings::default()).unwrap();
    assert_eq!(reader.flush(), Ok(None));
    assert_eq!(reader.read(&mut b"{}\n{\"half\":".as_slice(), NOW), Ok(None));
    assert_eq!(reader.flush().unwrap().unwrap().events.num_rows(), 1);
    assert_eq!(reader.read(&mut b"true}\n".as_slice(), NOW), Ok(None));
    let rest = reader.finish(NOW).unwrap().unwrap();
    assert_eq!(texts(&rest.events, "data"), [Some("{\"half\":true}")]);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for settings in [
        ReaderSettings {
            batch_events_max: 0,
            ..ReaderSettings::default()
        },
        ReaderSettings {
            batch_bytes_max: 0,
            ..ReaderSettings::default()
        },
        ReaderSettings {
            batch_bytes_max: 1 << 30,
            ..ReaderSettings::default()
        },
    ] {
        let error = Reader::new(Framing::Lines, settings).unwrap_err();
        assert!(matches!(error, crate::MedallionError::InvalidSetting { .. }), "{error}");
    }
}
