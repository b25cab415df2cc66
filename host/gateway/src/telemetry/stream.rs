//! Telemetry as a stream: every event as it comes, or the newest ones at a pace, from any kept event on.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use kinetic_medallion::MedallionError;
use kinetic_medallion::event::priority;
use kinetic_medallion::live::{EventId, Filter, Live, Start, Subscriber, Throttle, Throttled};
use serde_json::json;
use tokio::time::timeout;

use super::of;
use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::problem::Problem;
use crate::waiting::{Ended, Frames, LAST_EVENT_ID, Source, respond};

/// What a query can say: once, and as often as wanted.
const KNOWN: [&str; 3] = ["priority", "from", "last_event_id"];
const LISTS: [&str; 2] = ["topic", "workflow"];
/// The pace of those who name none, in flushes a second.
const HZ_DEFAULT: f64 = 1.0;

/// `GET /api/v1/telemetry/stream`: events as they come, as server-sent events.
pub(crate) async fn everything(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let ask = Ask::with_lists(request.uri(), &KNOWN, &LISTS)?;
    begin(&app, &ask, request.headers(), Watching::All)
}

/// `GET /api/v1/telemetry/stream/throttled`: the newest event of each stream, at most `hz` times a second.
pub(crate) async fn throttled(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let ask = Ask::with_lists(request.uri(), &[&KNOWN[..], &["hz"]].concat(), &LISTS)?;
    let throttle = Throttle::new(hz(&ask)?)?;
    begin(&app, &ask, request.headers(), |subscriber| {
        Watching::Paced(subscriber.throttled(throttle))
    })
}

fn hz(ask: &Ask) -> Result<f64, GatewayError> {
    let hz = ask.text("hz")?.map(str::parse).transpose();
    Ok(hz.map_err(|_| bad("hz", "it must be a number"))?.unwrap_or(HZ_DEFAULT))
}

fn begin(
    app: &Shared,
    ask: &Ask,
    headers: &HeaderMap,
    watching: impl FnOnce(Subscriber) -> Watching,
) -> Result<Response, Problem> {
    let live = &of(app)?.live;
    let place = app.readers.place()?;
    let source = watching(subscribe(live, ask, headers)?);
    Ok(respond(app, place, source.start(), source))
}

fn subscribe(live: &Arc<Live>, ask: &Ask, headers: &HeaderMap) -> Result<Subscriber, Problem> {
    Ok(live.subscribe(filter(ask)?, start(ask, headers)?)?)
}

fn filter(ask: &Ask) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for topic in ask.texts("topic")?.into_iter().flat_map(|topics| topics.split(',')) {
        filter = filter.topic(topic)?;
    }
    for workflow_id in ask.texts("workflow")? {
        filter = filter.workflow(workflow_id)?;
    }
    let Some(lowest) = ask.text("priority")? else {
        return Ok(filter);
    };
    let number = lowest.parse().ok().or_else(|| priority(lowest));
    let why = "it must be DEBUG, INFO, METRIC, WARNING or CRITICAL, or 0 to 4";
    Ok(filter.priority_min(number.ok_or_else(|| bad("priority", why))?)?)
}

/// Who comes back says what it had last, by the header as browsers do, whatever the query says.
fn start(ask: &Ask, headers: &HeaderMap) -> Result<Start, Problem> {
    let header = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty());
    let header = header.map(|last| last.to_str().map_err(|_| bad("last-event-id", "it is not ASCII")));
    if let Some(last) = header.transpose()?.or(ask.text("last_event_id")?) {
        return Ok(Start::After(last.parse()?));
    }
    match ask.text("from")? {
        None | Some("now") => Ok(Start::Now),
        Some("oldest") => Ok(Start::Oldest),
        Some(_) => Err(bad(
            "from",
            "it is oldest or now; last_event_id names an event to go on behind",
        )
        .into()),
    }
}

/// What somebody watches.
enum Watching {
    All(Subscriber),
    Paced(Throttled),
}

impl Watching {
    async fn frames(&mut self) -> Result<Bytes, MedallionError> {
        let frames = match self {
            Self::All(subscriber) => subscriber.next().await,
            Self::Paced(throttled) => throttled.next().await,
        };
        Ok(frames?.bytes)
    }

    /// Behind this event it goes on.
    fn position(&self) -> Option<EventId> {
        match self {
            Self::All(subscriber) => subscriber.position(),
            Self::Paced(throttled) => throttled.position(),
        }
    }

    fn start(&self) -> Frames {
        let after = self.position().map(|id| id.to_string());
        Frames::start(after.as_deref().unwrap_or_default(), &json!({ "after": after }))
    }

    /// A sign of life. It holds no event, but the reader's place: who sees little of what comes need not have all of it
    /// looked at again when it comes back.
    fn alive(&self) -> Frames {
        let text = self.position().map(|id| format!(": at {id}\nid: {id}\n\n"));
        Frames::ready(text.unwrap_or_default().into())
    }
}

impl Source for Watching {
    async fn next(&mut self, wait: Duration) -> Result<Frames, Ended> {
        match timeout(wait, self.frames()).await {
            Ok(frames) => Ok(Frames::ready(frames?)),
            Err(_) => Ok(self.alive()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use kinetic_medallion::event::{Framing, Reader, ReaderSettings};
    use kinetic_medallion::live::{History, LiveSettings};

    use super::*;

    const EVENTS: &str = r#"
        {"topic":"telemetry.tokens.v1","workflow_id":"w1","sequence":0,"priority":"INFO","data":"a"}
        {"topic":"telemetry.tokens.v1","workflow_id":"w,2","sequence":1,"priority":"CRITICAL","data":"b"}
        {"topic":"orders.placed.v1","workflow_id":"w3","sequence":2,"priority":"WARNING","data":"c"}"#;

    struct Kept(RecordBatch);

    impl History for Kept {
        fn batch(&self, offset: u64) -> Result<Option<RecordBatch>, MedallionError> {
            Ok((offset == 0).then(|| self.0.clone()))
        }

        fn oldest(&self) -> u64 {
            0
        }
    }

    /// A hub after a start with three events in its history.
    fn live() -> Arc<Live> {
        let mut reader = Reader::new(Framing::Lines, ReaderSettings::default()).unwrap();
        assert!(reader.read(&mut EVENTS.as_bytes(), 0).unwrap().is_none());
        let kept = Kept(reader.finish(0).unwrap().unwrap().events);
        assert_eq!(kept.0.num_rows(), 3);
        Live::new(LiveSettings::default(), Arc::new(kept), 1)
    }

    fn asked(query: &str) -> Ask {
        let uri = format!("/api/v1/telemetry/stream?{query}").parse().unwrap();
        Ask::with_lists(&uri, &[&KNOWN[..], &["hz"]].concat(), &LISTS).unwrap()
    }

    fn refused(query: &str) -> &'static str {
        let problem = subscribe(&live(), &asked(query), &HeaderMap::new()).err().unwrap();
        problem.fault().code
    }

    /// Everything that is kept and fits, with a sign of life behind it.
    async fn seen(query: &str, headers: &HeaderMap) -> String {
        let mut source = Watching::All(subscribe(&live(), &asked(query), headers).unwrap());
        let mut text = Vec::new();
        while !text.starts_with(b": at") && !text.windows(5).any(|line| line == b"\n: at") {
            let frames = source.next(Duration::from_millis(200)).await.unwrap();
            text.extend_from_slice(&frames.into_bytes());
        }
        String::from_utf8(text).unwrap()
    }

    fn ids(text: &str) -> Vec<&str> {
        let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        let (alive, events) = ids.split_last().unwrap();
        assert_eq!(*alive, "0-2", "{text}");
        assert!(text.ends_with(": at 0-2\nid: 0-2\n\n"), "{text}");
        events.to_vec()
    }

    #[tokio::test]
    async fn a_query_chooses_events_by_topic_workflow_and_lowest_priority() {
        for (query, expected) in [
            ("from=oldest", &["0-0", "0-1", "0-2"][..]),
            ("from=oldest&topic=telemetry.%3E", &["0-0", "0-1"]),
            ("from=oldest&topic=a.b.v1,orders.*.v1", &["0-2"]),
            (
                "from=oldest&topic=orders.placed.v1&topic=*.tokens.v1",
                &["0-0", "0-1", "0-2"],
            ),
            ("from=oldest&workflow=w1&workflow=w%2C2", &["0-0", "0-1"]),
            ("from=oldest&priority=warning", &["0-1", "0-2"]),
            ("from=oldest&priority=4&workflow=w3", &[]),
            ("last_event_id=0-0", &["0-1", "0-2"]),
        ] {
            assert_eq!(ids(&seen(query, &HeaderMap::new()).await), expected, "{query}");
        }
        assert_eq!(
            (refused("priority=loud"), refused("priority=5")),
            ("KIN-GWY-0016", "KIN-MED-0035")
        );
        assert_eq!(
            (refused("topic=a,,b"), refused("from=first")),
            ("KIN-MED-0035", "KIN-GWY-0016")
        );
    }

    #[tokio::test]
    async fn who_comes_back_goes_on_behind_its_last_event_whatever_the_query_says() {
        let mut headers = HeaderMap::new();
        headers.insert(LAST_EVENT_ID, "0-1".parse().unwrap());
        let text = seen("from=oldest&last_event_id=0-0", &headers).await;
        assert_eq!(ids(&text), ["0-2"]);
        assert!(text.starts_with("id: 0-2\nevent: orders.placed.v1\ndata: {"), "{text}");
        headers.insert(LAST_EVENT_ID, "".parse().unwrap());
        assert_eq!(ids(&seen("from=oldest", &headers).await).len(), 3);
        assert_eq!(refused("last_event_id=12"), "KIN-MED-0031");
        assert_eq!(refused("last_event_id=1-0"), "KIN-MED-0032");
    }

    #[tokio::test]
    async fn a_stream_begins_with_its_place() {
        let start = |query: &str| {
            let subscriber = subscribe(&live(), &asked(query), &HeaderMap::new()).unwrap();
            String::from_utf8(Watching::All(subscriber).start().into_bytes().to_vec()).unwrap()
        };
        assert_eq!(
            start("last_event_id=0-1"),
            "event: start\nid: 0-1\ndata: {\"after\":\"0-1\"}\n\n"
        );
        assert_eq!(start("from=oldest"), "event: start\ndata: {\"after\":null}\n\n");
    }

    #[tokio::test]
    async fn a_paced_stream_gives_what_there_is_and_its_place() {
        assert_eq!(hz(&asked("")).unwrap().to_bits(), HZ_DEFAULT.to_bits());
        assert!(hz(&asked("hz=often")).is_err() && Throttle::new(hz(&asked("hz=1000")).unwrap()).is_err());
        let throttle = Throttle::new(hz(&asked("hz=2.5")).unwrap()).unwrap();
        let subscriber = subscribe(&live(), &asked("from=oldest&topic=telemetry.%3E"), &HeaderMap::new()).unwrap();
        let mut source = Watching::Paced(subscriber.throttled(throttle));
        let frames = source.next(Duration::from_secs(5)).await.unwrap().into_bytes();
        let text = String::from_utf8(frames.to_vec()).unwrap();
        assert!(
            text.starts_with("id: 0-0\n") && text.contains("\n\nid: 0-1\nevent: telemetry.tokens.v1\n"),
            "{text}"
        );
        assert!(text.ends_with("\n\nid: 0-2\n\n"), "{text}");
    }
}
