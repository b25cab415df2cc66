//! What changes in the state, in the order of the log: page by page, or as a stream for as long as somebody listens.
//!
//! A page holds whole records, so it goes on at a record's number. A stream is told by [`Ledger::watch`]; in it a change
//! has a place of its own, and nobody who comes back there misses or sees again a part of a record.

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use kinetic_ledger::state::{BranchId, KeyRange, Owner, StateChange, Watch};
use kinetic_ledger::{ChangesAsk, ChangesPage, Ledger, LedgerError};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use super::ask::{below, owner, owner_text, text_or_base64};
use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::execute::accepts;
use crate::ledger::ledger_of;
use crate::problem::Problem;
use crate::waiting::{Ended, Frames, LAST_EVENT_ID, STREAM, Source, Wait, respond};

/// What the changes of a page take, about, in bytes; those of one record are answered whatever they take.
const PAGE_BYTES: u64 = 4 << 20;

/// Which changes are wanted.
#[derive(Clone)]
struct Wanted {
    branch: BranchId,
    /// None: everybody's.
    owner: Option<Owner>,
    prefix: Vec<u8>,
}

impl Wanted {
    fn of(ask: &Ask, ledger: &Ledger) -> Result<Self, Problem> {
        let of = ask.text("owner")?.map(|of| owner("owner", of)).transpose()?;
        let prefix = ask.key_bytes("prefix")?;
        if prefix.is_some() && of.is_none() {
            return Err(bad("prefix", "keys have owners: name one with owner").into());
        }
        Ok(Self {
            branch: ask.branch(ledger, of.as_ref().unwrap_or(&Owner::Host), ledger.visible())?,
            owner: of,
            prefix: prefix.unwrap_or_default().to_vec(),
        })
    }

    fn range(&self) -> KeyRange {
        self.owner
            .as_ref()
            .map_or_else(KeyRange::everything, |of| KeyRange::prefix(of, &self.prefix))
    }

    fn show(&self, change: &StateChange) -> Value {
        let mut shown = Map::new();
        if self.owner.is_none() {
            shown.insert("owner".into(), owner_text(&change.key().owner).into());
        }
        shown.insert("key".into(), text_or_base64(&change.key().key));
        let value = change.value().map_or(Value::Null, |value| text_or_base64(value));
        shown.insert("value".into(), value);
        shown.insert("seq".into(), change.seq.into());
        Value::Object(shown)
    }
}

/// A change's place in the log: its record, and the how-manieth wanted change of it, from 0. Written `12`, and where a
/// record has more of them, `12/1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    seq: u64,
    nth: u64,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (seq, nth) = text.split_once('/').unwrap_or((text, "0"));
        Some(Self {
            seq: seq.parse().ok()?,
            nth: nth.parse().ok()?,
        })
    }

    /// The place of a change of record `seq` that comes after this one.
    const fn then(self, seq: u64) -> Self {
        let nth = if seq == self.seq { self.nth + 1 } else { 0 };
        Self { seq, nth }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            0 => self.seq.fmt(f),
            nth => write!(f, "{}/{nth}", self.seq),
        }
    }
}

/// `GET /api/v1/state-changes`: a page of changes, or all that come as server-sent events.
pub(crate) async fn changes(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let streamed = accepts(request.headers(), STREAM);
    let known: &[&str] = if streamed {
        &["owner", "prefix", "from", "branch", "branch-owner"]
    } else {
        &["owner", "prefix", "from", "branch", "branch-owner", "limit", "wait_ms"]
    };
    let ask = Ask::of(request.uri(), known)?;
    let ledger = ledger_of(&app)?;
    let wanted = Wanted::of(&ask, &ledger)?;
    if streamed {
        let place = app.readers.place()?;
        let last = last(request.headers())?;
        let from = match last {
            Some(last) => begin(&ledger, Some(last.seq))?,
            None => from(&ask, &ledger)?,
        };
        let source = Changes {
            watch: ledger.watch(wanted.branch, wanted.range(), from)?,
            wanted,
            given: last,
            at: None,
        };
        let start = Frames::start("", &json!({ "next": from }));
        return Ok(respond(&app, place, start, source));
    }
    let from = from(&ask, &ledger)?;
    let limit = ask.page()?;
    let wait = Wait::of(&app, &ask)?;
    let pages = ledger.changes(ChangesAsk {
        branch: wanted.branch,
        range: wanted.range(),
        from,
        end: None,
        changes_max: limit,
        bytes_max: PAGE_BYTES,
        deadline: Instant::now() + wait.longest,
    });
    let page = tokio::select! {
        biased;
        () = app.readiness.draining() => ChangesPage { next: from, ..ChangesPage::default() },
        page = pages => page?,
    };
    let shown: Vec<Value> = page.changes.iter().map(|change| wanted.show(change)).collect();
    Ok(Json(json!({ "changes": shown, "next": page.next })).into_response())
}

/// The record that the query begins at; without a word the next one.
fn from(ask: &Ask, ledger: &Ledger) -> Result<u64, Problem> {
    let from = match ask.text("from")? {
        None | Some("now") => None,
        Some(from) => Some(
            from.parse()
                .map_err(|_| bad("from", "it is a record's number, or now"))?,
        ),
    };
    begin(ledger, from)
}

/// A record that can be begun at; the next one when none is named.
fn begin(ledger: &Ledger, from: Option<u64>) -> Result<u64, Problem> {
    let (seq, horizon) = (below(from, ledger)?, ledger.horizon());
    if seq < horizon {
        return Err(LedgerError::BelowHorizon { seq, horizon }.into());
    }
    Ok(seq)
}

/// The change that a reader who comes back had last.
fn last(headers: &HeaderMap) -> Result<Option<Place>, Problem> {
    let Some(last) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let place = last.to_str().ok().and_then(Place::parse);
    let why = "it is the id of a change, such as 12 or 12/1; else say from=12";
    Ok(Some(place.ok_or_else(|| bad("last-event-id", why))?))
}

/// What somebody listens to.
struct Changes {
    watch: Watch,
    wanted: Wanted,
    /// What the reader had last when it came back.
    given: Option<Place>,
    /// The place of the change that came last.
    at: Option<Place>,
}

impl Source for Changes {
    async fn next(&mut self, wait: Duration) -> Result<Frames, Ended> {
        let mut frames = Frames::default();
        loop {
            let Ok(next) = timeout(wait, self.watch.next()).await else {
                return Ok(frames);
            };
            let change = match next {
                Ok(change) => change,
                // Nothing is lost: what comes next is read from the log.
                Err(LedgerError::WatchLagged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let first = Place {
                seq: change.seq,
                nth: 0,
            };
            let place = self.at.map_or(first, |at| at.then(change.seq));
            self.at = Some(place);
            if self.given.is_none_or(|given| place > given) {
                let shown = self.wanted.show(&change).to_string();
                frames.push("change", &place.to_string(), shown.into_bytes());
                return Ok(frames);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_each_change_of_a_record_has_its_own() {
        let mut at = Place::parse("12").unwrap();
        let mut seen = vec![at];
        for seq in [12, 12, 13, 20, 20] {
            at = at.then(seq);
            seen.push(at);
        }
        let written: Vec<String> = seen.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["12", "12/1", "12/2", "13", "20", "20/1"]);
        let read: Vec<Place> = written.iter().map(|text| Place::parse(text).unwrap()).collect();
        assert_eq!(read, seen);
        assert!(seen.is_sorted());
        for bad in ["", "/1", "12/", "12/1/1", "-1", "now", "18446744073709551616"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
