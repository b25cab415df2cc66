//! The interface's functions: each checks the grant, then asks the call's effects or its subscription, or the tape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_engine::CallState;
use kinetic_ledger::bus::{Event, Position, Start, Subscribe, Subscription, timestamp};
use kinetic_ledger::{Effects, LedgerError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::Resource;

use crate::bindings::kinetic::events::bus::{self, Error, Host, HostSubscription, NewEvent, Options};
use crate::failure::Failure;
use crate::outgoing::{self, Asked};
use crate::received::Received;
use crate::{INTERFACE, PerCall};

/// The most subscriptions a call has at a time.
const SUBSCRIPTIONS_MAX: u32 = 16;
/// The most events one `next` gives.
const EVENTS_MAX: u32 = 1_000;
/// The most bytes they take; one event is given whatever it takes.
const BATCH_BYTES_MAX: u32 = 8 << 20;
/// The longest wait of one `next`.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The most credit a subscription may ask for, in events.
const CREDIT_EVENTS_MAX: u32 = 65_536;
/// The most credit a subscription may ask for, in bytes.
const CREDIT_BYTES_MAX: u32 = 64 << 20;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// What stands behind a subscription's handle. The table drops it with the call at the latest, before the call's record
/// is committed: a call that publishes to what it reads never waits for itself.
pub struct Handle {
    /// The how-manieth of the call it is: its name on the tape.
    number: u32,
    /// None in a replay.
    live: Option<Arc<Subscription>>,
    /// The offset after the last one that this call has done, by partition.
    done: BTreeMap<u16, u64>,
}

/// Answers from the tape, or does the work and records it. `request` is all that the guest asked.
fn turn<T: Serialize + DeserializeOwned>(
    call: &mut CallState,
    function: &str,
    request: &impl Serialize,
    work: impl FnOnce(&mut CallState) -> Result<T, Failure>,
) -> wasmtime::Result<Result<T, Failure>> {
    if let Some(answer) = call.replayed(INTERFACE, function, request)? {
        return Ok(answer);
    }
    let answer = work(call);
    call.taped(&answer)?;
    Ok(answer)
}

fn effects(call: &mut CallState) -> Result<&mut Effects, Failure> {
    call.extension().0.ok_or_else(Failure::no_ledger)
}

fn per_call(call: &mut CallState) -> Result<&mut PerCall, Failure> {
    call.extension().0.ok_or_else(Failure::no_ledger)
}

fn publish(call: &mut CallState, events: Vec<NewEvent>) -> Result<(), Failure> {
    let access = per_call(call)?.access.clone();
    for event in &events {
        access.check_publish(&event.topic)?;
    }
    let time = timestamp(call.unix_ns());
    let made = events
        .into_iter()
        .map(|event| outgoing::event(event, &access.urn, &time));
    let made = made.collect::<Result<Vec<_>, _>>()?;
    Ok(effects(call)?.publish(made)?)
}

async fn subscribe(call: &mut CallState, topic: &str, options: &Options) -> Result<Subscription, Failure> {
    let own = per_call(call)?;
    own.access.check_subscribe(topic)?;
    if own.open >= SUBSCRIPTIONS_MAX {
        return Err(Failure::Invalid(format!(
            "a call has at most {SUBSCRIPTIONS_MAX} subscriptions at a time: drop one first"
        )));
    }
    let ask = wanted(topic, options, &own.access.urn)?;
    let bus = effects(call)?.ledger().bus().clone();
    Ok(bus.subscribe(ask).await?)
}

/// What a guest asks the bus for.
fn wanted(topic: &str, options: &Options, urn: &str) -> Result<Subscribe, Failure> {
    let mut ask = Subscribe::to(topic);
    if let Some(group) = &options.group {
        if group.is_empty() {
            return Err(Failure::Invalid(
                "the name of a group is empty: leave it out to read without one".into(),
            ));
        }
        // A URN has no slash, so no name of a group reaches those of another capsule.
        ask = ask.group(format!("{urn}/{group}"));
    }
    if !options.partitions.is_empty() {
        ask = ask.partitions(options.partitions.clone());
    }
    ask = ask.start(match options.start {
        bus::Start::Earliest => Start::Earliest,
        bus::Start::Latest => Start::Latest,
        bus::Start::Offset(offset) => Start::Offset(offset),
    });
    let events = options.credit_events.unwrap_or(1_024);
    let bytes = options.credit_bytes.unwrap_or(8 << 20);
    if events > CREDIT_EVENTS_MAX || bytes > CREDIT_BYTES_MAX {
        return Err(Failure::Invalid(format!(
            "the credit is more than {CREDIT_EVENTS_MAX} events or {CREDIT_BYTES_MAX} bytes: ask for less"
        )));
    }
    Ok(ask.credit(usize::try_from(events).unwrap_or(usize::MAX), u64::from(bytes)))
}

fn asked(topic: &str, options: &Options) -> impl Serialize {
    let start = match options.start {
        bus::Start::Earliest => ("earliest", 0),
        bus::Start::Latest => ("latest", 0),
        bus::Start::Offset(offset) => ("offset", offset),
    };
    let credit = (options.credit_events, options.credit_bytes);
    (
        topic.to_string(),
        options.group.clone(),
        options.partitions.clone(),
        start,
        credit,
    )
}

/// How much is wanted, and until when.
struct Ask {
    events_max: usize,
    bytes_max: u64,
    deadline: Instant,
}

impl Ask {
    /// As the guest says, within what one `next` may.
    fn new(call: &mut CallState, max_events: u32, max_bytes: u32, wait_ms: u32) -> Self {
        let begun = call.extension::<PerCall>().0.map(|own| own.begun);
        let wall = Duration::from_millis(call.limits().wall_time_ms);
        let left = wall.saturating_sub(begun.map_or(wall, |begun| begun.elapsed()));
        // Half of it stays for doing something with what comes.
        let wait = Duration::from_millis(wait_ms.into()).min(WAIT_MAX).min(left / 2);
        Self {
            events_max: usize::try_from(max_events.clamp(1, EVENTS_MAX)).unwrap_or(usize::MAX),
            // On a tape bytes take more than they do here.
            bytes_max: u64::from(max_bytes.min(BATCH_BYTES_MAX)).min(call.host_bytes().left() / 2),
            deadline: Instant::now() + wait,
        }
    }
}

/// The next events of a subscription that this call has not done yet.
async fn next(
    subscription: &Subscription,
    done: &BTreeMap<u16, u64>,
    ask: Ask,
) -> Result<Vec<Arc<Event>>, LedgerError> {
    loop {
        let left = ask.deadline.saturating_duration_since(Instant::now());
        let mut events = subscription.next(ask.events_max, ask.bytes_max, left).await?;
        let came = !events.is_empty();
        // What the call has done is committed when it ends. Until then it may come again, its time being over.
        events.retain(|event| done.get(&event.partition).is_none_or(|next| event.offset >= *next));
        if !events.is_empty() || !came || Instant::now() >= ask.deadline {
            return Ok(events);
        }
    }
}

impl Host for CallState {
    fn publish(&mut self, events: Vec<NewEvent>) -> Answer<()> {
        let asked: Vec<Asked<'_>> = if self.tape().is_on() {
            events.iter().map(Asked::from).collect()
        } else {
            Vec::new()
        };
        if let Some(answer) = self.replayed::<Result<(), Failure>>(INTERFACE, "publish", &asked)? {
            return Ok(answer.map_err(Error::from));
        }
        drop(asked);
        let answer = publish(self, events);
        self.taped(&answer)?;
        Ok(answer.map_err(Error::from))
    }

    async fn subscribe(&mut self, topic: String, options: Options) -> Answer<Resource<Handle>> {
        let request = asked(&topic, &options);
        let (answer, live) = match self.replayed::<Result<(), Failure>>(INTERFACE, "subscribe", &request)? {
            Some(answer) => (answer, None),
            None => {
                let (answer, live) = match subscribe(self, &topic, &options).await {
                    Ok(live) => (Ok(()), Some(Arc::new(live))),
                    Err(failure) => (Err(failure), None),
                };
                self.taped(&answer)?;
                (answer, live)
            }
        };
        if let Err(failure) = answer {
            return Ok(Err(failure.into()));
        }
        let mut number = 0;
        if let (Some(own), _) = self.extension::<PerCall>() {
            number = own.made;
            own.made += 1;
            own.open += 1;
        }
        let handle = Handle {
            number,
            live,
            done: BTreeMap::new(),
        };
        Ok(Ok(self.table().push(handle)?))
    }
}

impl HostSubscription for CallState {
    async fn next(
        &mut self,
        this: Resource<Handle>,
        max_events: u32,
        max_bytes: u32,
        wait_ms: u32,
    ) -> Answer<Vec<bus::Event>> {
        let handle = self.table().get(&this)?;
        let (live, done) = (handle.live.clone(), handle.done.clone());
        let request = (handle.number, max_events, max_bytes, wait_ms);
        let given = |events: Vec<Received>| events.into_iter().map(bus::Event::from).collect();
        if let Some(answer) =
            self.replayed::<Result<Vec<Received>, Failure>>(INTERFACE, "subscription.next", &request)?
        {
            return Ok(answer.map(given).map_err(Error::from));
        }
        let Some(live) = live else {
            return Ok(Err(Failure::no_ledger().into()));
        };
        let ask = Ask::new(self, max_events, max_bytes, wait_ms);
        let answer = match next(&live, &done, ask).await {
            Ok(events) => {
                if !self.tape().is_on() {
                    // With a tape, what is on it is counted.
                    let bytes = events.iter().map(|event| event.weight()).sum::<u64>();
                    self.host_bytes().spend(usize::try_from(bytes).unwrap_or(usize::MAX))?;
                }
                Ok(events.iter().map(|event| Received::new(&live, event)).collect())
            }
            Err(error) => Err(Failure::from(error)),
        };
        self.taped(&answer)?;
        Ok(answer.map(given).map_err(Error::from))
    }

    fn done(&mut self, this: Resource<Handle>, partition: u16, offset: u64) -> Answer<()> {
        let handle = self.table().get(&this)?;
        let (number, live) = (handle.number, handle.live.clone());
        let answer = turn(self, "subscription.done", &(number, partition, offset), |call| {
            let live = live.ok_or_else(Failure::no_ledger)?;
            let offsets = live.offsets_to(&[Position { partition, offset }])?;
            effects(call)?.consume(offsets);
            Ok(())
        })?;
        if answer.is_ok() {
            let next = self.table().get_mut(&this)?.done.entry(partition).or_default();
            *next = (*next).max(offset.saturating_add(1));
        }
        Ok(answer.map_err(Error::from))
    }

    fn reject(&mut self, this: Resource<Handle>, partition: u16, offset: u64) -> Answer<()> {
        let handle = self.table().get(&this)?;
        let (number, live) = (handle.number, handle.live.clone());
        let done = handle.done.get(&partition).is_some_and(|next| offset < *next);
        let answer = turn(self, "subscription.reject", &(number, partition, offset), |_| {
            if done {
                let why =
                    format!("offset {offset} of partition {partition} is done with this call: reject it or do it");
                return Err(Failure::Invalid(why));
            }
            let live = live.ok_or_else(Failure::no_ledger)?;
            Ok(live.redeliver(Position { partition, offset })?)
        })?;
        Ok(answer.map_err(Error::from))
    }

    fn missed(&mut self, this: Resource<Handle>) -> wasmtime::Result<u64> {
        let handle = self.table().get(&this)?;
        let (number, live) = (handle.number, handle.live.clone());
        let answer = turn(self, "subscription.missed", &number, |_| {
            Ok(live.map_or(0, |live| live.missed()))
        })?;
        Ok(answer.unwrap_or_default())
    }

    fn drop(&mut self, this: Resource<Handle>) -> wasmtime::Result<()> {
        self.table().delete(this)?;
        if let (Some(own), _) = self.extension::<PerCall>() {
            own.open = own.open.saturating_sub(1);
        }
        Ok(())
    }
}
