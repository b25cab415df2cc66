//! `kinetic state watch`: shows what changes in the state as it changes, across restarts of the host.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Context;
use super::state::{On, cell};
use crate::client::Client;
use crate::error::{CliError, Refused};
use crate::event_stream::{EventStream, Frame};
use crate::terminal::{note, say_on};

/// How long to wait before a host that went away is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

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

/// How a stream ended.
enum Ended {
    /// All that was asked for is shown.
    Done,
    /// The host went away.
    Lost,
}

impl Watching {
    pub(super) async fn run(self, context: &Context, client: &Client) -> anyhow::Result<()> {
        let mut reading = Reading::default();
        let mut lost = false;
        loop {
            match client.stream(&["state-changes"], &self.query(&reading)).await {
                Ok(stream) => {
                    lost = false;
                    if let Ended::Done = self.read(context.json(), stream, &mut reading).await? {
                        return Ok(());
                    }
                }
                Err(error) if reading.at.is_none() || !passes(&error) => return Err(error),
                Err(_) => {}
            }
            if !lost {
                note(&format!("{} went away; watching goes on when it is back", client.url()));
            }
            lost = true;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    fn query(&self, reading: &Reading) -> Vec<(&'static str, String)> {
        let mut query = self.on.query();
        query.push(("owner", self.owner.clone()));
        query.extend(self.prefix.clone().map(|prefix| ("prefix", prefix)));
        let from = reading.at.map(|(seq, _)| seq).or(self.from);
        query.extend(from.map(|from| ("from", from.to_string())));
        query
    }

    /// Shows what a stream has.
    async fn read(&self, json: bool, mut stream: EventStream, reading: &mut Reading) -> anyhow::Result<Ended> {
        loop {
            let frame = match stream.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(CliError::HostUnreachable { .. }) => return Ok(Ended::Lost),
                Err(error) => return Err(error.into()),
            };
            match frame.name.as_str() {
                "start" => reading.start(parse::<Start>(&frame.data)?.next),
                "change" => {
                    if let Some(line) = reading.change(&frame, json)?
                        && !say_on(&line)
                    {
                        return Ok(Ended::Done);
                    }
                }
                "problem" => return Err(Refused(parse(&frame.data)?).into()),
                // Later hosts may tell more.
                _ => {}
            }
            if self.count == Some(reading.shown) {
                return Ok(Ended::Done);
            }
        }
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

fn parse<T: DeserializeOwned>(data: &str) -> Result<T, CliError> {
    serde_json::from_str(data).map_err(|e| CliError::BadAnswer {
        url: "the stream of changes".into(),
        why: e.to_string(),
    })
}

/// Whether a failure may pass when the host is back.
fn passes(error: &anyhow::Error) -> bool {
    let busy = |refused: &Refused| refused.0.get("status").and_then(Value::as_u64) == Some(503);
    matches!(error.downcast_ref(), Some(CliError::HostUnreachable { .. })) || error.downcast_ref().is_some_and(busy)
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
