//! `kinetic state watch`: shows what changes in the state as it changes, across restarts of the host.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::Context;
use super::follow::{Follow, follow, parse};
use super::state::{On, cell};
use crate::client::Client;
use crate::error::CliError;
use crate::event_stream::Frame;

/// Whose changes, from where on, and how many.
#[derive(Args)]
pub(super) struct Watching {
    /// Whose keys: host, a URN, or type:CLASS:NAME
    owner: String,
    /// What the keys begin with
    prefix: Option<String>,
    /// The record to begin at [default: the next one]
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// End after so many changes
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    on: On,
}

/// Where a stream begins, as its first frame says.
#[derive(Deserialize)]
struct Start {
    next: u64,
}

/// A change, as its frame says.
#[derive(Deserialize)]
struct Change {
    key: Value,
    value: Value,
    seq: u64,
}

/// How far the reading has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    /// The record to go on at, once it is known, and how many of its changes are shown.
    at: Option<(u64, u64)>,
    /// How many changes of that record came by since the stream began.
    passed: u64,
    shown: u64,
}

/// A watch under way.
struct Following<'a> {
    watching: &'a Watching,
    json: bool,
    reading: Reading,
}

impl Watching {
    pub(super) async fn run(self, context: &Context, client: &Client) -> anyhow::Result<()> {
        let mut following = Following {
            watching: &self,
            json: context.json(),
            reading: Reading::default(),
        };
        follow(client, &mut following).await
    }
}

impl Follow for Following<'_> {
    fn path(&self) -> Vec<&str> {
        vec!["state-changes"]
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let asked = self.watching;
        let mut query = asked.on.query();
        query.push(("owner", asked.owner.clone()));
        query.extend(asked.prefix.clone().map(|prefix| ("prefix", prefix)));
        let from = self.reading.at.map(|(seq, _)| seq).or(asked.from);
        query.extend(from.map(|from| ("from", from.to_string())));
        query
    }

    fn has_begun(&self) -> bool {
        self.reading.at.is_some()
    }

    fn take(&mut self, frame: &Frame) -> Result<Option<String>, CliError> {
        match frame.name.as_str() {
            "start" => self.reading.start(parse::<Start>(&frame.data)?.next),
            "change" => return self.reading.change(frame, self.json),
            // Later hosts may tell more.
            _ => {}
        }
        Ok(None)
    }

    fn is_done(&self) -> bool {
        self.watching.count == Some(self.reading.shown)
    }
}

impl Reading {
    /// A stream begins.
    fn start(&mut self, next: u64) {
        self.at.get_or_insert((next, 0));
        self.passed = 0;
    }

    /// The line of a change; it counts as shown. None when it was shown before the host went away.
    fn change(&mut self, frame: &Frame, json: bool) -> Result<Option<String>, CliError> {
        let Change { key, value, seq } = parse(&frame.data)?;
        let shown = match self.at {
            Some((at, shown)) if at == seq => shown,
            _ => {
                self.passed = 0;
                0
            }
        };
        self.passed += 1;
        if self.passed <= shown {
            return Ok(None);
        }
        self.at = Some((seq, self.passed));
        self.shown += 1;
        if json {
            return Ok(Some(frame.data.clone()));
        }
        let value = if value.is_null() {
            "(deleted)".into()
        } else {
            cell(Some(&value))
        };
        Ok(Some(format!("{seq}  {}  {value}", cell(Some(&key)))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frame(data: &Value) -> Frame {
        Frame {
            name: "change".into(),
            id: String::new(),
            data: data.to_string(),
        }
    }

    #[test]
    fn watching_goes_on_within_the_record_where_it_was() {
        let mut reading = Reading::default();
        let show = |reading: &mut Reading, key: &str, seq: u64| {
            let line = reading.change(&frame(&json!({ "key": key, "value": "v", "seq": seq })), false);
            line.unwrap()
        };
        reading.start(3);
        assert_eq!(reading.at, Some((3, 0)));
        assert_eq!(show(&mut reading, "a", 5).unwrap(), "5  a  v");
        assert!(show(&mut reading, "a", 7).is_some() && show(&mut reading, "b", 7).is_some());
        assert_eq!(reading.at, Some((7, 2)));
        // The host is back: the record comes again from its beginning.
        reading.start(7);
        let again: Vec<_> = ["a", "b", "c"].map(|key| show(&mut reading, key, 7)).into();
        assert_eq!(again, [None, None, Some("7  c  v".into())]);
        assert!(show(&mut reading, "a", 8).is_some());
        assert_eq!((reading.at, reading.shown), (Some((8, 1)), 5));
    }

    #[test]
    fn a_line_tells_a_deleted_key_from_one_that_holds_nothing() {
        let mut reading = Reading::default();
        let deleted = frame(&json!({ "key": "k", "value": null, "seq": 1 }));
        let empty = frame(&json!({ "key": { "base64": "/w==" }, "value": "", "seq": 2 }));
        assert_eq!(reading.change(&deleted, false).unwrap().unwrap(), "1  k  (deleted)");
        assert_eq!(reading.change(&empty, false).unwrap().unwrap(), "2  base64:/w==  ");
        assert_eq!(reading.change(&deleted, true).unwrap().unwrap(), deleted.data);
    }
}
