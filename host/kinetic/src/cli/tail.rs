//! `kinetic tail`: shows the events of a topic as they come, across restarts of the host.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::Context;
use super::follow::{Follow, follow, parse, unreadable};
use crate::client::Client;
use crate::error::CliError;
use crate::event_stream::Frame;
use crate::terminal::note;

/// Show the events of a topic as they come
///
/// One line for each: partition and offset, time, type, key and data; with --output json one
/// JSON object a line, with the event as CloudEvents 1.0 says. When the host goes away, the
/// command waits for it and goes on where it was. Reading takes nothing from anybody: events
/// stay, and groups keep their positions.
///
///     kinetic tail telemetry.metrics.v1
///     kinetic tail telemetry.metrics.v1 --from earliest --no-follow --output json
///     kinetic tail telemetry.metrics.v1 --partition 2 --from 1200 --count 10
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Tail {
    /// The topic
    topic: String,
    /// Where to begin: earliest, latest, or an offset (of one partition) [default: latest; earliest with --no-follow]
    #[arg(long, value_name = "earliest|latest|N")]
    from: Option<String>,
    /// This partition only
    #[arg(long, value_name = "P")]
    partition: Option<u16>,
    /// End after so many events
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End with the last event that is there now
    #[arg(long)]
    no_follow: bool,
}

/// Offsets by partition.
type Offsets = BTreeMap<u16, u64>;

/// Where a stream begins, as its first frame says.
#[derive(Deserialize)]
struct Start {
    next: Offsets,
    heads: Offsets,
}

/// How far the reading has come.
#[derive(Default)]
struct Reading {
    /// The next offset of each partition, once it is known.
    next: Offsets,
    /// What they were when it began.
    heads: Option<Offsets>,
    shown: u64,
}

/// How an event is shown behind its place; the topic is that which is read.
pub(super) type Line = fn(&Value, &str) -> String;

/// A tail under way.
struct Following<'a> {
    tail: &'a Tail,
    /// None: as JSON.
    line: Option<Line>,
    reading: Reading,
}

impl Tail {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let client = context.client(&context.load(None)?.config)?;
        self.show(context, &client, line)
    }

    /// All of a topic from there on; with `follow` for as long as somebody reads.
    pub(super) const fn of(topic: String, from: Option<String>, follow: bool) -> Self {
        Self {
            topic,
            from,
            partition: None,
            count: None,
            no_follow: !follow,
        }
    }

    /// Shows what it is to show, each event in a line.
    pub(super) fn show(&self, context: &Context, client: &Client, line: Line) -> anyhow::Result<ExitCode> {
        let mut following = Following {
            tail: self,
            line: (!context.json()).then_some(line),
            reading: Reading::default(),
        };
        super::block_on(follow(client, &mut following))?;
        Ok(ExitCode::SUCCESS)
    }

    fn query(&self, reading: &Reading) -> Vec<(&'static str, String)> {
        if !reading.next.is_empty() {
            let positions: Vec<_> = reading
                .next
                .iter()
                .map(|(partition, offset)| format!("{partition}:{offset}"))
                .collect();
            return vec![("from", positions.join(","))];
        }
        // A topic in memory has no past when the host is back.
        let begun = reading.heads.is_some();
        let default = if self.no_follow && !begun { "earliest" } else { "latest" };
        let from = self.from.as_deref().filter(|_| !begun).unwrap_or(default);
        let mut query = vec![("from", from.to_string())];
        query.extend(self.partition.map(|partition| ("partition", partition.to_string())));
        query
    }
}

impl Follow for Following<'_> {
    fn path(&self) -> Vec<&str> {
        vec!["topics", &self.tail.topic, "events"]
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        self.tail.query(&self.reading)
    }

    fn has_begun(&self) -> bool {
        self.reading.heads.is_some()
    }

    fn take(&mut self, frame: &Frame) -> Result<Option<String>, CliError> {
        match frame.name.as_str() {
            "" => return self.reading.event(frame, self.line, &self.tail.topic).map(Some),
            "start" => self.reading.start(frame)?,
            "missed" => {
                let missed: Value = parse(&frame.data)?;
                let count = missed.get("missed").and_then(Value::as_u64).unwrap_or_default();
                note(&format!("{count} events were dropped before they were read"));
            }
            // Later hosts may tell more.
            _ => {}
        }
        Ok(None)
    }

    fn is_done(&self) -> bool {
        self.tail.count == Some(self.reading.shown) || (self.tail.no_follow && self.reading.is_at_end())
    }
}

impl Reading {
    fn start(&mut self, frame: &Frame) -> Result<(), CliError> {
        let start: Start = parse(&frame.data)?;
        self.next = start.next;
        self.heads.get_or_insert(start.heads);
        Ok(())
    }

    /// Whether all that was there when it began is shown.
    fn is_at_end(&self) -> bool {
        let next = |partition| self.next.get(partition).copied().unwrap_or_default();
        self.heads
            .iter()
            .flatten()
            .all(|(partition, head)| next(partition) >= *head)
    }

    /// The line of an event; it counts as shown.
    fn event(&mut self, frame: &Frame, line: Option<Line>, topic: &str) -> Result<String, CliError> {
        let place = frame
            .id
            .split_once('/')
            .and_then(|(partition, offset)| Some((partition.parse::<u16>().ok()?, offset.parse::<u64>().ok()?)));
        let (partition, offset) = place.ok_or_else(|| unreadable("an event without a place"))?;
        // A topic in memory has no positions to come back to.
        if let Some(next) = self.next.get_mut(&partition) {
            *next = offset.saturating_add(1);
        }
        self.shown += 1;
        let Some(line) = line else {
            let event = &frame.data;
            return Ok(format!(
                "{{\"partition\":{partition},\"offset\":{offset},\"event\":{event}}}"
            ));
        };
        let event: Value = parse(&frame.data)?;
        Ok(format!("{partition}/{offset}{}", line(&event, topic)))
    }
}

/// An event for people, behind its place.
fn line(event: &Value, topic: &str) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let key = text("partitionkey").map(|key| format!("[{key}]"));
    let key = key.or_else(|| text("kinetickey").map(|key| format!("[base64:{key}]")));
    let data = match (event.get("data"), text("data_base64")) {
        (Some(data), _) => data.to_string(),
        (None, Some(base64)) => format!("base64:{base64}"),
        (None, None) => "no data".into(),
    };
    let parts = [
        text("time").map(ToString::to_string),
        text("type").filter(|kind| *kind != topic).map(ToString::to_string),
        text("subject").map(ToString::to_string),
        key,
        Some(data),
    ];
    parts
        .into_iter()
        .flatten()
        .fold(String::new(), |line, part| format!("{line}  {part}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn frame(name: &str, id: &str, data: &Value) -> Frame {
        Frame {
            name: name.into(),
            id: id.into(),
            data: data.to_string(),
        }
    }

    fn tail(no_follow: bool) -> Tail {
        Tail {
            topic: "a.b.v1".into(),
            from: None,
            partition: Some(1),
            count: None,
            no_follow,
        }
    }

    #[test]
    fn reading_goes_on_at_its_positions() {
        let mut reading = Reading::default();
        assert_eq!(
            tail(false).query(&reading),
            [("from", "latest".into()), ("partition", "1".into())]
        );
        assert_eq!(tail(true).query(&reading)[0], ("from", "earliest".into()));
        let start = json!({ "next": { "0": 3, "1": 5 }, "heads": { "0": 3, "1": 7 } });
        reading.start(&frame("start", "", &start)).unwrap();
        assert!(!reading.is_at_end());
        for offset in [5, 6] {
            let line = reading
                .event(
                    &frame("", &format!("1/{offset}"), &json!({ "data": 1 })),
                    None,
                    "a.b.v1",
                )
                .unwrap();
            assert_eq!(
                line,
                format!("{{\"partition\":1,\"offset\":{offset},\"event\":{{\"data\":1}}}}")
            );
        }
        assert!(reading.is_at_end());
        assert_eq!(tail(false).query(&reading), [("from", "0:3,1:7".into())]);
    }

    #[test]
    fn a_line_names_what_differs_from_the_topic() {
        let event = json!({ "time": "T", "type": "a.b.v1", "partitionkey": "k", "data": { "n": 1 } });
        assert_eq!(line(&event, "a.b.v1"), "  T  [k]  {\"n\":1}");
        let event = json!({ "type": "other", "subject": "s", "data_base64": "AA==" });
        assert_eq!(line(&event, "a.b.v1"), "  other  s  base64:AA==");
    }
}
