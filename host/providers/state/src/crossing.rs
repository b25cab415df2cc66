//! The interface for guests in worker processes: there each function asks the host, and here the host answers with the very
//! functions its own guests call, in the transaction of the call.

use std::convert::identity;

use kinetic_engine::{CallState, CrossingAnswer, NotUnderstood, ask_host, cross, crossed};
use wasmtime::component::Linker;

use crate::INTERFACE;
use crate::bindings::kinetic::state::store::{ChangesPage, Error, Host, Owner, Page, Revision, Version};

/// The interface as a linker knows it.
const INSTANCE: &str = "kinetic:state/store@0.1.0";

type Answer<T> = Result<T, Error>;

/// Adds the functions that ask.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut store = linker.instance(INSTANCE)?;
    macro_rules! asks {
        ($function:literal: ($($param:ty),*) -> $answer:ty) => {
            ask_host(
                &mut store,
                INTERFACE,
                $function,
                identity::<($($param,)*)>,
                identity::<Answer<$answer>>,
            )?;
        };
    }
    asks!("get": (Owner, String) -> Option<Vec<u8>>);
    asks!("put": (Owner, String, Vec<u8>) -> ());
    asks!("delete": (Owner, String) -> ());
    asks!("scan": (Owner, String, Option<String>, u32) -> Page);
    asks!("as-of": (Owner, String, u64) -> Option<Version>);
    asks!("history": (Owner, String, Option<u64>, u32) -> Vec<Revision>);
    asks!("changes": (Owner, String, u64, u32, u32) -> ChangesPage);
    asks!("snapshot": () -> u64);
    asks!("use-branch": (String) -> ());
    asks!("create-branch": (String) -> ());
    asks!("discard-branch": (String) -> ());
    Ok(())
}

/// Answers what was asked.
pub(crate) fn answer<'a>(call: &'a mut CallState, function: &'a str, asked: &'a [u8]) -> CrossingAnswer<'a> {
    Box::pin(async move {
        match function {
            "get" => {
                let (owner, key) = crossed(asked)?;
                cross(&Host::get(call, owner, key)?)
            }
            "put" => {
                let (owner, key, value) = crossed(asked)?;
                cross(&Host::put(call, owner, key, value)?)
            }
            "delete" => {
                let (owner, key) = crossed(asked)?;
                cross(&Host::delete(call, owner, key)?)
            }
            "scan" => {
                let (owner, prefix, after, limit) = crossed(asked)?;
                cross(&Host::scan(call, owner, prefix, after, limit)?)
            }
            "as-of" => {
                let (owner, key, at) = crossed(asked)?;
                cross(&Host::as_of(call, owner, key, at)?)
            }
            "history" => {
                let (owner, key, before, limit) = crossed(asked)?;
                cross(&Host::history(call, owner, key, before, limit)?)
            }
            "changes" => {
                let (owner, prefix, from, limit, wait_ms) = crossed(asked)?;
                cross(&Host::changes(call, owner, prefix, from, limit, wait_ms).await?)
            }
            "snapshot" => {
                crossed::<()>(asked)?;
                cross(&Host::snapshot(call)?)
            }
            "use-branch" => {
                let (name,) = crossed(asked)?;
                cross(&Host::use_branch(call, name)?)
            }
            "create-branch" => {
                let (name,) = crossed(asked)?;
                cross(&Host::create_branch(call, name)?)
            }
            "discard-branch" => {
                let (name,) = crossed(asked)?;
                cross(&Host::discard_branch(call, name)?)
            }
            other => Err(NotUnderstood::function(other).into()),
        }
    })
}
