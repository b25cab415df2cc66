//! A capability: functions that the host serves over HTTP, MCP and the command line, each call in a fresh sandbox.

use std::collections::BTreeMap;

// Reads wit/world.wit and writes the trait `Guest`, the record `WordCount` and the macro `export!`.
kinetic_sdk::bindings!();

struct Capability;

// One method for each exported function. An `Err` is an answer the caller sees; a panic is a fault the host reports.
impl Guest for Capability {
    fn count_words(text: String, top: u32) -> Result<Vec<WordCount>, String> {
        if top == 0 {
            return Err("top must be at least 1".into());
        }
        let mut times = BTreeMap::new();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *times.entry(word.to_lowercase()).or_insert(0) += 1;
        }
        let mut counts: Vec<_> = times.into_iter().map(|(word, times)| WordCount { word, times }).collect();
        // Stable, so words that occur equally often stay in alphabetical order.
        counts.sort_by_key(|count| std::cmp::Reverse(count.times));
        counts.truncate(top as usize);
        Ok(counts)
    }
}

export!(Capability);
