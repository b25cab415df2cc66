//! The interface for guests in worker processes: there each function asks the host, and here the host answers with the very
//! functions its own guests call. A subscription's handle is the number of what stands behind it in the call's table here.

use std::convert::identity;

use kinetic_engine::{CallState, CrossingAnswer, NotUnderstood, ask_host, cross, crossed, resource_of_host};
use wasmtime::component::{Linker, Resource};

use crate::INTERFACE;
use crate::bindings::kinetic::events::bus::{Error, Event, Host, HostSubscription, NewEvent, Options};
use crate::host::Handle;

/// The interface as a linker knows it.
const INSTANCE: &str = "kinetic:events/bus@0.1.0";
const DROP: &str = "[resource-drop]subscription";

type Subscription = Resource<Handle>;
type Answer<T> = Result<T, Error>;

/// Adds the functions that ask.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut bus = linker.instance(INSTANCE)?;
    resource_of_host::<Handle>(&mut bus, INTERFACE, "subscription", DROP)?;
    ask_host(
        &mut bus,
        INTERFACE,
        "publish",
        identity::<(Vec<NewEvent>,)>,
        identity::<Answer<()>>,
    )?;
    ask_host(
        &mut bus,
        INTERFACE,
        "subscribe",
        identity::<(String, Options)>,
        |subscribed: Answer<u32>| subscribed.map(Subscription::new_own),
    )?;
    ask_host(
        &mut bus,
        INTERFACE,
        "[method]subscription.next",
        |(this, events_max, bytes_max, wait_ms): (Subscription, u32, u32, u32)| {
            (this.rep(), events_max, bytes_max, wait_ms)
        },
        identity::<Answer<Vec<Event>>>,
    )?;
    ask_host(
        &mut bus,
        INTERFACE,
        "[method]subscription.done",
        |(this, partition, offset): (Subscription, u16, u64)| (this.rep(), partition, offset),
        identity::<Answer<()>>,
    )?;
    ask_host(
        &mut bus,
        INTERFACE,
        "[method]subscription.reject",
        |(this, partition, offset): (Subscription, u16, u64)| (this.rep(), partition, offset),
        identity::<Answer<()>>,
    )?;
    ask_host(
        &mut bus,
        INTERFACE,
        "[method]subscription.missed",
        |(this,): (Subscription,)| this.rep(),
        identity::<u64>,
    )
}

/// Answers what was asked. A number that is no subscription of the call is refused by its table.
pub(crate) fn answer<'a>(call: &'a mut CallState, function: &'a str, asked: &'a [u8]) -> CrossingAnswer<'a> {
    let subscription = Subscription::new_borrow;
    Box::pin(async move {
        match function {
            "publish" => {
                let (events,) = crossed(asked)?;
                cross(&Host::publish(call, events)?)
            }
            "subscribe" => {
                let (topic, options) = crossed(asked)?;
                let subscribed = Host::subscribe(call, topic, options).await?;
                cross(&subscribed.map(|one| one.rep()))
            }
            "[method]subscription.next" => {
                let (rep, events_max, bytes_max, wait_ms) = crossed(asked)?;
                let this = subscription(rep);
                cross(&HostSubscription::next(call, this, events_max, bytes_max, wait_ms).await?)
            }
            "[method]subscription.done" => {
                let (rep, partition, offset) = crossed(asked)?;
                cross(&HostSubscription::done(call, subscription(rep), partition, offset)?)
            }
            "[method]subscription.reject" => {
                let (rep, partition, offset) = crossed(asked)?;
                cross(&HostSubscription::reject(call, subscription(rep), partition, offset)?)
            }
            "[method]subscription.missed" => {
                let this = subscription(crossed(asked)?);
                cross(&HostSubscription::missed(call, this)?)
            }
            DROP => {
                let this = Subscription::new_own(crossed(asked)?);
                cross(&HostSubscription::drop(call, this)?)
            }
            other => Err(NotUnderstood::function(other).into()),
        }
    })
}
