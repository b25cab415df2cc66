//! The commented default configuration, written from the structs' own comments and defaults.

use std::fmt::Write as _;

use serde_json::Value;

use super::Config;
use crate::error::CliError;

/// How the document starts.
const HEAD: &str = "\
# Kinetic's settings, each with its default. Save as kinetic.toml and keep the lines you change.
# The environment wins over this file (KINETIC_HOST__LISTEN sets host.listen), and flags win over the environment.
# A name that is not below is refused.
";

/// The whole manual as TOML: it parses back to exactly the defaults.
///
/// # Errors
/// None in practice: the defaults are TOML values.
pub fn default_document() -> Result<String, CliError> {
    let unexpected = |error: String| CliError::Unexpected { why: error };
    let plain = toml::to_string(&Config::default()).map_err(|e| unexpected(e.to_string()))?;
    let schema = serde_json::to_value(schemars::schema_for!(Config)).map_err(|e| unexpected(e.to_string()))?;
    let mut text = HEAD.to_string();
    let mut section: Vec<&str> = Vec::new();
    for line in plain.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.split('.').collect();
            comment(&mut text, "\n", &describe(&schema, &section));
        } else if let Some((key, _)) = line.split_once(" = ") {
            let path: Vec<&str> = section.iter().copied().chain([key]).collect();
            comment(&mut text, "\n", &describe(&schema, &path));
        } else {
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

fn comment(text: &mut String, before: &str, description: &str) {
    text.push_str(before);
    for line in description.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# {line}");
    }
}

/// The description at a path: the member's own comment, or its type's.
fn describe(schema: &Value, path: &[&str]) -> String {
    let mut at = schema;
    let mut description = "";
    for name in path {
        let member = at
            .get("properties")
            .and_then(|all| all.get(name))
            .unwrap_or(&Value::Null);
        at = follow(schema, member);
        description = [member, at]
            .iter()
            .find_map(|s| s.get("description")?.as_str())
            .unwrap_or_default();
    }
    description.to_string()
}

fn follow<'a>(schema: &'a Value, member: &'a Value) -> &'a Value {
    let reference = member
        .get("$ref")
        .or_else(|| member.pointer("/allOf/0/$ref"))
        .and_then(Value::as_str);
    reference
        .and_then(|path| schema.pointer(path.trim_start_matches('#')))
        .unwrap_or(member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{defaults, parse};

    #[test]
    fn the_document_parses_back_to_exactly_the_defaults() {
        assert_eq!(parse(&default_document().unwrap()).unwrap(), Config::default());
    }

    #[test]
    fn every_setting_and_every_section_has_a_comment_above_it() {
        let text = default_document().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if !line.is_empty() && !line.starts_with('#') {
                assert!(lines[at - 1].starts_with("# "), "{line} has no comment");
            }
        }
        let keys = lines
            .iter()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'))
            .count();
        assert_eq!(keys, defaults().unwrap().len());
    }
}
