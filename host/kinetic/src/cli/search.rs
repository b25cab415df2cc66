//! `kinetic search`: which capability does what one needs.

use std::process::ExitCode;

use clap::Args;
use kinetic_kernel::search::{Query, RESULTS_DEFAULT};
use serde_json::{Value, json};

use super::{Context, Place, search_registries};
use crate::{boot, render};

/// Find capabilities by words: what they are called, what they do, what they need
///
/// Looks at the active capabilities and at those in the host's store. The best come first, each
/// with the reason: which word stands where, and what it adds to the score. A word that stands
/// nowhere is taken for those spelled most like it.
///
/// Asks the running host. With --data and without --host: what a host on that data folder would
/// answer.
///
/// With --registry also at a registry, or at all of them: by its own search where it has one, else
/// over what it lists. What is here comes first. One that does not answer is named.
///
///     kinetic search redact e-mail addresses
///     kinetic search word count --registry all
///     kinetic search markdwon --limit 3 --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Search {
    /// What to look for, in any order
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// How many results at most
    #[arg(long, value_name = "N", default_value_t = RESULTS_DEFAULT)]
    limit: usize,
    /// A registry to search as well, or "all"; each gives at most --limit results
    #[arg(long, value_name = "NAME|all")]
    registry: Option<String>,
}

impl Search {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let text = self.words.join(" ");
        let query = Query::parse(&text, Some(self.limit))?;
        let document = super::block_on(async {
            let mut document = match context.place()? {
                Place::Host(client) => {
                    let body = json!({ "query": text, "limit": self.limit });
                    client.post(&["discovery", "search"], &body).await?
                }
                Place::Here(config, data) => {
                    let kernel = boot::looking_kernel(&config, &data).await?;
                    kernel.activate_all().await;
                    serde_json::to_value(kernel.search(&query))?
                }
            };
            if let Some(registry) = &self.registry {
                search_registries::add(context, &mut document, registry, &text, self.limit).await?;
            }
            anyhow::Ok(document)
        })?;
        context.print(&document, || shown(&document));
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(document: &Value) -> String {
    let hits: Vec<&Value> = members(document, "hits").collect();
    let rows: Vec<_> = hits.iter().map(|hit| row(hit)).collect();
    let mut lines = Vec::new();
    for (line, hit) in render::table(&rows).lines().zip(&hits) {
        lines.push(line.to_string());
        let description = text(hit, "description").replace('\n', " ");
        if !description.is_empty() {
            lines.push(format!("    {description}"));
        }
        lines.push(format!("    why: {}", reasons(hit)));
    }
    let unknown: Vec<_> = members(document, "unknown").filter_map(Value::as_str).collect();
    if !unknown.is_empty() {
        lines.push(format!("no capability has a word like: {}", unknown.join(", ")));
    }
    let more = number(document, "found").saturating_sub(hits.len() as u64);
    if hits.is_empty() {
        lines.push("no capability was found".into());
    } else if more > 0 {
        lines.push(format!("{} more; --limit shows them", render::grouped(more)));
    }
    let left_out = number(document, "left_out");
    if left_out > 0 {
        lines.push(format!(
            "{} could not be looked at; the host's log says why",
            render::grouped(left_out)
        ));
    }
    let unsearched = members(document, "unsearched");
    lines.extend(unsearched.map(|one| {
        let (name, code, message) = (text(one, "registry"), text(one, "code"), text(one, "message"));
        format!("registry {name} was not searched: {code}: {message}")
    }));
    // What registries answer may be anything.
    let plain = |line: String| -> String { line.chars().filter(|c| !c.is_control()).collect() };
    lines.into_iter().map(plain).collect::<Vec<_>>().join("\n")
}

fn row(hit: &Value) -> Vec<String> {
    let active = hit.get("active").and_then(Value::as_bool) == Some(true);
    vec![
        text(hit, "urn").to_string(),
        text(hit, "version").to_string(),
        match text(hit, "registry") {
            "" if active => "active".to_string(),
            "" => "stored".to_string(),
            registry => format!("at {registry}"),
        },
        points(number(hit, "score")),
    ]
}

/// `redact in urn +9.1; "emial" spelled like "email" in description +1.3`
fn reasons(hit: &Value) -> String {
    let reason = |why: &Value| {
        let word = match text(why, "spelled_like") {
            "" => text(why, "word").to_string(),
            known => format!("\"{}\" spelled like \"{known}\"", text(why, "word")),
        };
        let field = text(why, "field").replace('_', " ");
        // A registry's own search need not say what each word counts.
        let points = match number(why, "points") {
            0 => String::new(),
            of => format!(" +{}", points(of)),
        };
        format!("{word} in {field}{points}")
    };
    members(hit, "why").map(reason).collect::<Vec<_>>().join("; ")
}

/// Thousandths with one decimal, rounded down.
fn points(thousandths: u64) -> String {
    format!("{}.{}", thousandths / 1_000, thousandths % 1_000 / 100)
}

fn members<'a>(document: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    document.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(document: &Value, name: &str) -> u64 {
    document.get(name).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hit_is_shown_with_the_reasons_for_it() {
        let document = json!({
            "hits": [{
                "urn": "urn:a", "version": "1.0.0", "description": "Does a.\nAnd b.", "active": false, "score": 10_450,
                "why": [
                    { "word": "redact", "similarity_milli": 1_000, "field": "urn", "points": 9_100 },
                    { "word": "emial", "spelled_like": "email", "similarity_milli": 612, "field": "function_text", "points": 1_350 },
                ],
            }],
            "found": 3, "searched": 4, "left_out": 1, "unknown": ["zebra"],
        });
        assert_eq!(
            shown(&document).lines().collect::<Vec<_>>(),
            [
                "urn:a  1.0.0  stored  10.4",
                "    Does a. And b.",
                "    why: redact in urn +9.1; \"emial\" spelled like \"email\" in function text +1.3",
                "no capability has a word like: zebra",
                "2 more; --limit shows them",
                "1 could not be looked at; the host's log says why",
            ]
        );
    }

    #[test]
    fn nothing_found_is_said() {
        let nothing = json!({ "hits": [], "found": 0, "searched": 4, "left_out": 0, "unknown": [] });
        assert_eq!(shown(&nothing), "no capability was found");
    }
}
