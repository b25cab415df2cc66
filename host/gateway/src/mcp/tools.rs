//! The tools there are: made from the active capsules, kept until these change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use kinetic_kernel::Kernel;
use kinetic_model::Urn;
use rmcp::model::Tool;
use serde_json::Value;
use tokio::sync::watch;

use super::names::{NAME_BYTES_MAX, names};
use crate::GatewayError;
use crate::error::tame;

/// Tools in one answer of `tools/list`.
const PAGE_TOOLS: usize = 100;

/// One tool: what clients see, and what it calls.
pub(crate) struct Entry {
    pub(crate) tool: Tool,
    pub(crate) urn: Urn,
    pub(crate) function: String,
}

/// The tools of one state of the active set, by name.
pub(crate) struct Table {
    change: u64,
    entries: BTreeMap<String, Entry>,
}

/// Keeps the table that fits the active set.
pub(crate) struct Tools {
    kernel: Kernel,
    changes: watch::Receiver<u64>,
    table: ArcSwapOption<Table>,
}

impl Tools {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self {
            changes: kernel.changes(),
            kernel,
            table: ArcSwapOption::empty(),
        }
    }

    /// Tells of every change of the tools from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// The tools as they are now.
    pub(crate) fn now(&self) -> Arc<Table> {
        // Read before the capsules are: a change in between makes the table newer than it says, never older.
        let change = *self.changes.borrow();
        if let Some(table) = self.table.load_full().filter(|table| table.change == change) {
            return table;
        }
        let table = Arc::new(Table::new(&self.kernel, change));
        self.table.store(Some(table.clone()));
        table
    }
}

impl Table {
    fn new(kernel: &Kernel, change: u64) -> Self {
        let capsules = kernel.list();
        let functions: Vec<_> = capsules
            .iter()
            .flat_map(|capsule| {
                capsule
                    .capability
                    .interface()
                    .functions
                    .iter()
                    .map(move |function| (capsule, function))
            })
            .collect();
        let named: Vec<_> = functions
            .iter()
            .map(|(capsule, function)| (&capsule.manifest.id, function.name.as_str()))
            .collect();
        let mut entries = BTreeMap::new();
        for (name, (capsule, function)) in names(&named).into_iter().zip(functions) {
            let input = object(function.input_schema()).unwrap_or_default();
            let mut tool = Tool::new(name.clone(), capsule.describe(function), Arc::new(input));
            tool.title = Some(capsule.title(function));
            tool.output_schema = object(function.output_schema()).filter(is_of_objects).map(Arc::new);
            entries.insert(
                name,
                Entry {
                    tool,
                    urn: capsule.manifest.id.clone(),
                    function: function.name.clone(),
                },
            );
        }
        Self { change, entries }
    }

    /// The tool of that name.
    pub(crate) fn find(&self, name: &str) -> Result<&Entry, GatewayError> {
        self.entries
            .get(name)
            .ok_or_else(|| GatewayError::NoSuchTool { name: tame(name) })
    }

    /// The page after a cursor, and the cursor of the next one. A cursor is the last name of its page, so that tools which
    /// come and go in between neither repeat nor hide others.
    pub(crate) fn page(&self, cursor: Option<&str>) -> Result<(Vec<Tool>, Option<String>), GatewayError> {
        use std::ops::Bound::{Excluded, Unbounded};
        if let Some(cursor) = cursor.filter(|cursor| cursor.is_empty() || cursor.len() > NAME_BYTES_MAX) {
            return Err(GatewayError::BadCursor { cursor: tame(cursor) });
        }
        let after = cursor.map_or(Unbounded, Excluded);
        let mut rest = self
            .entries
            .range::<str, _>((after, Unbounded))
            .map(|(_, entry)| &entry.tool);
        let page: Vec<Tool> = rest.by_ref().take(PAGE_TOOLS).cloned().collect();
        let next = rest.next().and(page.last()).map(|tool| tool.name.to_string());
        Ok((page, next))
    }
}

fn object(schema: Value) -> Option<serde_json::Map<String, Value>> {
    match schema {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// MCP knows structured output only as objects.
fn is_of_objects(schema: &serde_json::Map<String, Value>) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(count: usize) -> Table {
        let entry = |name: String| {
            let tool = Tool::new(name.clone(), "a tool", Arc::default());
            let urn = "urn:a:actionspace:solver:b:v1".parse().unwrap();
            (
                name.clone(),
                Entry {
                    tool,
                    urn,
                    function: name,
                },
            )
        };
        Table {
            change: 0,
            entries: (0..count).map(|number| entry(format!("t.{number:04}"))).collect(),
        }
    }

    #[test]
    fn pages_together_hold_every_tool_once_and_the_last_has_no_cursor() {
        for count in [0, 1, PAGE_TOOLS, PAGE_TOOLS + 1, 3 * PAGE_TOOLS + 7] {
            let table = table(count);
            let (mut seen, mut cursor) = (Vec::new(), None::<String>);
            loop {
                let (page, next) = table.page(cursor.as_deref()).unwrap();
                seen.extend(page.into_iter().map(|tool| tool.name));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen.len(), count);
            assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_cursor_survives_the_tool_it_names() {
        let (page, _) = table(300).page(Some("t.0100x")).unwrap();
        assert_eq!(page[0].name, "t.0101");
        assert!(table(3).page(Some(&"x".repeat(200))).is_err());
    }
}
