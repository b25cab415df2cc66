//! The reference pages under docs/reference, written from the definitions themselves so that they cannot disagree with them.

use std::fmt::Write as _;

use kinetic_model::LIMIT_DOCS;
use serde_json::Value;

use crate::error::AREAS;
use crate::render;

/// Columns of help text in the pages, whatever the terminal.
const HELP_COLUMNS: usize = 100;

/// Every page: file name and text.
///
/// # Errors
/// None in practice: the definitions are checked by tests.
pub fn pages(command: clap::Command) -> anyhow::Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("cli.md", commands(command)),
        ("config.md", configuration()?),
        ("errors.md", errors()),
        ("limits.md", limits()),
        ("manifest.md", manifest()),
    ])
}

fn page(title: &str, about: &str) -> String {
    format!("# {title}\n\n<!-- Written by `make docs`; do not edit. -->\n\n{about}\n")
}

fn limits() -> String {
    let mut text = page(
        "Limits",
        "Every call runs under all of these; none can be switched off. A capsule asks in `limits` of manifest.json; it gets\n\
         what it asks for or the default, never more than the ceiling of its trust zone and of the operator\n\
         (`[limits.ceiling]` in kinetic.toml). What a call used is in its answer.\n\n\
         | name | default | ceiling | what it bounds |\n|---|---:|---:|---|",
    );
    for limit in LIMIT_DOCS {
        let (default, ceiling) = (render::grouped(limit.default), render::grouped(limit.ceiling));
        line(
            &mut text,
            &format!("| `{}` | {default} | {ceiling} | {} |", limit.name, limit.doc.trim()),
        );
    }
    text
}

fn errors() -> String {
    let mut text = page(
        "Errors",
        "Every failure has a stable code. Over HTTP it is a problem document (RFC 9457) with `code`, `detail` and `fix`; over MCP a\n\
         tool error with the same members; on the command line `code: what was wrong. What to do.`\n\
         `kinetic errors CODE` prints one. Words in braces are filled in.",
    );
    for (title, table) in AREAS {
        line(
            &mut text,
            &format!("\n## {title}\n\n| code | status | what was wrong | what to do |\n|---|---|---|---|"),
        );
        for info in *table {
            let (status, kind) = (info.kind.status(), info.kind.title());
            let cells = [info.message, info.fix].map(cell);
            line(
                &mut text,
                &format!("| `{}` | {status} {kind} | {} | {} |", info.code, cells[0], cells[1]),
            );
        }
    }
    text
}

fn configuration() -> anyhow::Result<String> {
    let about = "Settings come from `kinetic.toml` (or `--config FILE`), then from the environment (`KINETIC_HOST__LISTEN` sets\n\
                 `host.listen`), then from flags; the later wins. Unknown names are refused. `kinetic config default` prints this,\n\
                 `kinetic config show` what is in effect and who set it.";
    let document = crate::config::default_document()?;
    Ok(format!("{}\n```toml\n{document}```\n", page("Configuration", about)))
}

fn manifest() -> String {
    let schema = kinetic_kernel::Manifest::schema();
    let mut text = page(
        "Manifest",
        "`manifest.json` says what a capsule is and what it asks for. It is closed: an unknown member is refused.\n\
         `kinetic manifest schema` prints it as JSON Schema.",
    );
    members(&mut text, &schema);
    let definitions = schema.get("$defs").and_then(Value::as_object);
    for (name, definition) in definitions.into_iter().flatten() {
        line(&mut text, &format!("\n## {name}\n"));
        if let Some(description) = definition.get("description").and_then(Value::as_str) {
            line(&mut text, description);
        }
        if definition.get("properties").is_some() {
            members(&mut text, definition);
        } else {
            values(&mut text, definition);
        }
    }
    text
}

/// A table of an object's members.
fn members(text: &mut String, schema: &Value) {
    line(text, "\n| member | type | needed | meaning |\n|---|---|---|---|");
    let required: Vec<&str> = list(schema, "required").filter_map(Value::as_str).collect();
    for (name, member) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let needed = if required.contains(&name.as_str()) { "yes" } else { "" };
        let description = member.get("description").and_then(Value::as_str).unwrap_or_default();
        line(
            text,
            &format!("| `{name}` | {} | {needed} | {} |", kind(member), cell(description)),
        );
    }
}

/// A list of an enumeration's words, or the pattern of a text.
fn values(text: &mut String, schema: &Value) {
    let words = list(schema, "oneOf").map(|case| (case.get("const"), case.get("description")));
    let plain = list(schema, "enum").map(|word| (Some(word), None));
    line(text, "");
    for (word, description) in words.chain(plain) {
        let word = word.and_then(Value::as_str).unwrap_or_default();
        let description = description.and_then(Value::as_str).unwrap_or_default();
        line(text, format!("- `{word}`: {description}").trim_end_matches([':', ' ']));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        line(text, &format!("Text of the form `{pattern}`."));
    }
}

/// A member's type in a few characters.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
    {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", kind(items));
    }
    if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
        return format!("map to {}", kind(inner));
    }
    let choices: Vec<&Value> = ["anyOf", "allOf"].iter().flat_map(|name| list(schema, name)).collect();
    if let Some(first) = choices.first() {
        return kind(first);
    }
    match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or("any").to_string(),
        _ => "any".to_string(),
    }
}

fn list<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    schema.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn commands(command: clap::Command) -> String {
    let mut command = command.term_width(HELP_COLUMNS).color(clap::ColorChoice::Never);
    command.build();
    let mut text = page("Commands", "What `kinetic help` and `kinetic help COMMAND` print.");
    let mut pending = vec![(String::from("kinetic"), command)];
    while let Some((name, mut command)) = pending.pop() {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        line(
            &mut text,
            &format!("\n## {name}\n\n```text\n{}\n```", help.join("\n").trim_end()),
        );
        let inner: Vec<_> = command
            .get_subcommands()
            .filter(|c| !c.is_hide_set() && c.get_name() != "help")
            .collect();
        for inner in inner.into_iter().rev() {
            pending.push((format!("{name} {}", inner.get_name()), inner.clone()));
        }
    }
    text
}

/// Text inside a table: no line breaks, no column marks.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_reference_is_what_the_definitions_say() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference"));
        for (name, text) in pages(crate::cli::command()).unwrap() {
            let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(
                committed == text,
                "docs/reference/{name} is out of date: run `make docs`"
            );
        }
    }

    #[test]
    fn every_member_of_the_manifest_and_every_code_is_on_its_page() {
        let text = manifest();
        for name in ["id", "version", "type", "imports", "trust_zone", "fuel", "hosts"] {
            assert!(text.contains(&format!("| `{name}` |")), "{name}");
        }
        let text = errors();
        assert!(
            AREAS
                .iter()
                .flat_map(|(_, table)| *table)
                .all(|info| text.contains(info.code))
        );
    }
}
