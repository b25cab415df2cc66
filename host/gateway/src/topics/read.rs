//! Reading events over HTTP: where a reader begins, and a page that may be waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use kinetic_ledger::LedgerError;
use kinetic_ledger::bus::{BusView, Event, PARTITIONS_MAX, Position, Start, Subscribe, Subscription};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{stream, too_many};
use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::execute::accepts;
use crate::ledger::ledger_of;
use crate::problem::Problem;
use crate::waiting::{LAST_EVENT_ID, STREAM, Wait};

/// Events of a page for which nobody named a limit, and the most of one.
const EVENTS_DEFAULT: usize = 100;
const EVENTS_MAX: usize = 1_000;
/// What the events of a page take in memory, about, in bytes; one event is answered whatever it takes.
const PAGE_BYTES: u64 = 4 << 20;

/// A page of events, and where the one behind it begins.
#[derive(Serialize)]
struct Page {
    events: Vec<Shown>,
    next: BTreeMap<u16, u64>,
}

/// An event with its place.
#[derive(Serialize)]
struct Shown {
    partition: u16,
    offset: u64,
    event: Box<RawValue>,
}

impl Shown {
    fn of(event: &Event) -> Result<Self, GatewayError> {
        let failed = |e: serde_json::Error| GatewayError::AnswerFailed { why: e.to_string() };
        Ok(Self {
            partition: event.partition,
            offset: event.offset,
            event: serde_json::from_slice(&event.to_json()).map_err(failed)?,
        })
    }
}

/// Positions as an object in JSON: partitions with their offsets.
pub(super) fn by_partition(positions: &[Position]) -> BTreeMap<u16, u64> {
    positions
        .iter()
        .map(|position| (position.partition, position.offset))
        .collect()
}

/// `GET /api/v1/topics/{name}/events`: a page of events, or all that come as server-sent events.
pub(crate) async fn events(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let streamed = accepts(request.headers(), STREAM);
    let known: &[&str] = if streamed {
        &["from", "partition"]
    } else {
        &["from", "partition", "limit", "wait_ms"]
    };
    let ask = Ask::of(request.uri(), known)?;
    let ledger = ledger_of(&app)?;
    let subscribe = wanted(&ask, ledger.bus(), request.headers())?;
    if streamed {
        let place = app.readers.place()?;
        return stream::begin(&app, place, ledger.bus(), subscribe).await;
    }
    let limit = ask.limit(EVENTS_DEFAULT, EVENTS_MAX)?;
    let wait = Wait::of(&app, &ask)?;
    let subscription = ledger.bus().subscribe(subscribe).await?;
    let first = tokio::select! {
        biased;
        () = app.readiness.draining() => Vec::new(),
        events = subscription.next(limit, PAGE_BYTES, wait.longest) => events?,
    };
    let events = filled(&subscription, first, limit).await?;
    let page = Page {
        events: events.iter().map(|event| Shown::of(event)).collect::<Result<_, _>>()?,
        next: by_partition(&subscription.positions()),
    };
    Ok(Json(page).into_response())
}

/// The first events of a page, and what else is there.
async fn filled(
    subscription: &Subscription,
    mut events: Vec<Arc<Event>>,
    limit: usize,
) -> Result<Vec<Arc<Event>>, LedgerError> {
    loop {
        // A subscription gives what it has at hand, which may be less than there is: one partition's, one read's.
        let bytes: u64 = events.iter().map(|event| event.weight()).sum();
        let room = (limit.saturating_sub(events.len()), PAGE_BYTES.saturating_sub(bytes));
        if events.is_empty() || room.0 == 0 || room.1 == 0 {
            return Ok(events);
        }
        let more = subscription.next(room.0, room.1, Duration::ZERO).await?;
        if more.is_empty() {
            return Ok(events);
        }
        events.extend(more);
    }
}

/// What a request wants to read, and from where on.
fn wanted(ask: &Ask, bus: &BusView, headers: &HeaderMap) -> Result<Subscribe, Problem> {
    let name = ask.segment_text(0)?;
    let config = bus.topic_stats(name)?.config;
    let partition = ask.number("partition")?.map(|number| {
        let number = u16::try_from(number).ok().filter(|number| *number < config.partitions);
        number.ok_or_else(|| {
            bad(
                "partition",
                format!("the topic has {}, counted from 0", config.partitions),
            )
        })
    });
    let partition = partition.transpose()?;
    let subscribe = Subscribe::to(name);
    // In memory nothing is left of what was sent before.
    if let Some(last) = headers.get(LAST_EVENT_ID).filter(|_| !config.in_memory()) {
        let only = partition.or((config.partitions == 1).then_some(0));
        let behind = last
            .to_str()
            .ok()
            .and_then(behind)
            .filter(|position| only == Some(position.partition));
        let why = "it goes on behind one event, partition/offset, where one partition is read; else say from=0:12,1:7";
        return Ok(subscribe.positions([behind.ok_or_else(|| bad("last-event-id", why))?]));
    }
    let subscribe = match (ask.text("from")?, partition) {
        (Some(from), None) if from.contains(':') => return Ok(subscribe.positions(positions(from)?)),
        (Some(from), Some(_)) if from.contains(':') => {
            return Err(bad("partition", "from names the partitions already").into());
        }
        (None | Some("latest"), _) => subscribe.start(Start::Latest),
        (Some("earliest"), _) => subscribe.start(Start::Earliest),
        (Some(from), partition) => {
            let offset = from.parse();
            let offset =
                offset.map_err(|_| bad("from", "it is earliest, latest, an offset, or offsets as 0:12,1:7"))?;
            if partition.is_none() && config.partitions > 1 {
                let why = format!(
                    "the topic has {} partitions: name one with partition, or each with its offset as 0:12,1:7",
                    config.partitions
                );
                return Err(bad("from", why).into());
            }
            subscribe.start(Start::Offset(offset))
        }
    };
    Ok(match partition {
        Some(partition) => subscribe.partitions([partition]),
        None => subscribe,
    })
}

/// The position behind the event that `partition/offset` names.
fn behind(id: &str) -> Option<Position> {
    let (partition, offset) = id.split_once('/')?;
    Some(Position {
        partition: partition.parse().ok()?,
        offset: offset.parse::<u64>().ok()?.checked_add(1)?,
    })
}

/// Positions as `0:12,1:7`.
fn positions(text: &str) -> Result<Vec<Position>, Problem> {
    let mut found = BTreeMap::new();
    for pair in text.split(',') {
        let read = pair
            .split_once(':')
            .and_then(|(partition, offset)| Some((partition.parse::<u16>().ok()?, offset.parse::<u64>().ok()?)));
        let (partition, offset) = read.ok_or_else(|| bad("from", "positions are written as 0:12,1:7"))?;
        if found.insert(partition, offset).is_some() {
            return Err(bad("from", "it names a partition twice").into());
        }
        if found.len() > usize::from(PARTITIONS_MAX) {
            return Err(too_many("partitions in one request", usize::from(PARTITIONS_MAX)).into());
        }
    }
    Ok(found
        .into_iter()
        .map(|(partition, offset)| Position { partition, offset })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written_and_each_partition_once() {
        let expected = [(0, 12), (3, 7)].map(|(partition, offset)| Position { partition, offset });
        assert_eq!(positions("3:7,0:12").unwrap(), expected);
        for bad in ["0:", ":1", "0:1,", "0:1,0:2", "65536:0", "0:-1", "0:1;1:1"] {
            assert!(positions(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reader_that_comes_back_goes_on_behind_its_last_event() {
        let expected = Position {
            partition: 2,
            offset: 8,
        };
        assert_eq!(behind("2/7"), Some(expected));
        for bad in ["", "7", "2/", "/7", "2/18446744073709551615"] {
            assert_eq!(behind(bad), None, "{bad}");
        }
    }
}
