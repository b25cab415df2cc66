//! How results look to people: aligned tables, cut JSON, what a call used.

use std::fmt::Write as _;

use kinetic_model::{LIMIT_DOCS, Limits};
use serde_json::Value;

/// Lines of a result shown before it is cut.
const RESULT_LINES_MAX: usize = 60;
/// Characters of one text inside a result shown before it is cut.
const TEXT_CHARS_MAX: usize = 300;

/// Columns padded to their widest cell, two spaces apart; numbers stay where the caller put them.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A result for people: text as it is, everything else as indented JSON, long texts in it and many lines cut short.
pub fn result(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    let mut value = value.clone();
    let mut cut = shorten(&mut value);
    let text = pretty(&value);
    let mut lines: Vec<&str> = text.lines().collect();
    let surplus = format!("… {} more lines", lines.len().saturating_sub(RESULT_LINES_MAX));
    if lines.len() > RESULT_LINES_MAX {
        lines.truncate(RESULT_LINES_MAX);
        lines.push(&surplus);
        cut = true;
    }
    let hint = if cut {
        "\n(cut short; --out FILE or --output json gives all of it)"
    } else {
        ""
    };
    format!("{}{hint}", lines.join("\n"))
}

/// Cuts the texts inside a value to [`TEXT_CHARS_MAX`]; says whether there was anything to cut.
fn shorten(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) else {
                return false;
            };
            let rest = text.split_off(at).chars().count();
            // Writing to a String cannot fail.
            let _ = write!(text, "… {} more characters", grouped(rest as u64));
            true
        }
        // Not `any`: every one has to be cut, not only the first.
        Value::Array(items) => items.iter_mut().fold(false, |cut, item| shorten(item) | cut),
        Value::Object(members) => members.values_mut().fold(false, |cut, member| shorten(member) | cut),
        _ => false,
    }
}

/// Indented JSON.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What a call used, as the answer's `telemetry` tells it, next to nothing else.
pub fn usage(telemetry: &Value) -> String {
    let number = |name: &str| telemetry.get(name).and_then(Value::as_u64).unwrap_or_default();
    table(&[
        vec![
            "fuel".into(),
            grouped(number("fuel")),
            "peak memory".into(),
            bytes(number("peak_memory_bytes")),
        ],
        vec![
            "guest time".into(),
            duration(number("guest_time_ns")),
            "wall time".into(),
            duration(number("wall_time_ns")),
        ],
        vec![
            "bytes in".into(),
            grouped(number("input_bytes")),
            "bytes out".into(),
            grouped(number("output_bytes")),
        ],
    ])
}

/// Limits, one a line, under their names in manifests.
pub fn limits(limits: &Limits) -> String {
    let values = serde_json::to_value(limits).unwrap_or_default();
    let value = |name: &str| values.get(name).and_then(Value::as_u64).unwrap_or_default();
    let rows: Vec<_> = LIMIT_DOCS
        .iter()
        .map(|limit| vec![format!("  {}", limit.name), grouped(value(limit.name))])
        .collect();
    table(&rows)
}

/// Imports by package, each named once: a standard library imports a dozen interfaces of the same two.
pub fn packages<'a>(imports: impl Iterator<Item = &'a str>) -> String {
    let package = |import: &str| {
        let (path, version) = import
            .split_once('@')
            .map_or((import, String::new()), |(p, v)| (p, format!("@{v}")));
        format!("{}{version}", path.split('/').next().unwrap_or(path))
    };
    let mut names: Vec<String> = imports.map(package).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        "nothing".to_string()
    } else {
        names.join(", ")
    }
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A byte count in the largest binary unit that leaves a whole part.
pub fn bytes(number: u64) -> String {
    scaled(number, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)], "B")
}

/// A count in the largest decimal unit that leaves a whole part.
pub fn count(number: u64) -> String {
    let units = [
        ("T", 1_000_000_000_000),
        ("G", 1_000_000_000),
        ("M", 1_000_000),
        ("k", 1_000),
    ];
    scaled(number, &units, "").trim_end().to_string()
}

/// A duration in the largest unit that leaves a whole part.
pub fn duration(nanoseconds: u64) -> String {
    scaled(
        nanoseconds,
        &[("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)],
        "ns",
    )
}

/// One decimal, computed in integers: nothing here needs more.
fn scaled(number: u64, units: &[(&str, u64)], smallest: &str) -> String {
    match units.iter().find(|(_, size)| number >= *size) {
        None => format!("{number} {smallest}"),
        Some((unit, size)) => {
            let tenths = u128::from(number) * 10 / u128::from(*size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_234_567)],
            ["0", "999", "1,234,567"]
        );
        assert_eq!(
            [bytes(12), bytes(1_536), bytes(67_108_864)],
            ["12 B", "1.5 KiB", "64.0 MiB"]
        );
        assert_eq!(
            [count(999), count(5_655), count(20_000_000_000)],
            ["999", "5.6 k", "20.0 G"]
        );
        assert_eq!(
            [duration(900), duration(1_500_000), duration(u64::MAX)],
            ["900 ns", "1.5 ms", "18446744073.7 s"]
        );
    }

    #[test]
    fn a_long_result_is_cut_and_says_how_to_see_all_of_it() {
        let long = result(&(0..1_000).collect::<Value>());
        assert_eq!(long.lines().count(), RESULT_LINES_MAX + 2);
        assert!(long.ends_with("--output json gives all of it)"), "{long}");
        let wide = result(&serde_json::json!({ "a": "ü".repeat(1_300), "b": ["ok", "x".repeat(301)] }));
        assert!(
            wide.contains("ü… 1,000 more characters") && wide.contains("x… 1 more characters"),
            "{wide}"
        );
        assert_eq!(result(&Value::from("plain\ntext")), "plain\ntext");
    }

    #[test]
    fn imports_are_shown_by_package() {
        let imports = [
            "wasi:io/poll@0.2.6",
            "wasi:cli/exit@0.2.6",
            "wasi:io/error@0.2.6",
            "plain",
        ];
        assert_eq!(packages(imports.into_iter()), "plain, wasi:cli@0.2.6, wasi:io@0.2.6");
        assert_eq!(packages(std::iter::empty()), "nothing");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "bb".into()], vec!["ccc".into(), "d".into()]];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }
}
