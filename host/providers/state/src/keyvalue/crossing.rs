//! `wasi:keyvalue` for guests in worker processes: there each function asks the host, and here the host answers with the
//! very functions its own guests call. A bucket's handle is the number of what stands behind it in the call's table here.

use std::convert::identity;

use kinetic_engine::{CallState, CrossingAnswer, NotUnderstood, ask_host, cross, crossed, resource_of_host};
use wasmtime::component::{Linker, Resource};

use super::Bucket;
use super::bindings::wasi::keyvalue::store::{Error, HostBucket, KeyResponse};
use super::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::KEYVALUE;

pub(crate) const ATOMICS: &str = "wasi:keyvalue/atomics";
pub(crate) const BATCH: &str = "wasi:keyvalue/batch";
/// The version a linker knows them by.
const VERSION: &str = "0.2.0-draft";
const DROP: &str = "[resource-drop]bucket";

type Handle = Resource<Bucket>;
type Answer<T> = Result<T, Error>;
type Pair = (String, Vec<u8>);

/// Adds the functions that ask.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut store = linker.instance(&format!("{KEYVALUE}@{VERSION}"))?;
    resource_of_host::<Bucket>(&mut store, KEYVALUE, "bucket", DROP)?;
    ask_host(
        &mut store,
        KEYVALUE,
        "open",
        identity::<(String,)>,
        |opened: Answer<u32>| opened.map(Handle::new_own),
    )?;
    ask_host(
        &mut store,
        KEYVALUE,
        "[method]bucket.get",
        |(bucket, key): (Handle, String)| (bucket.rep(), key),
        identity::<Answer<Option<Vec<u8>>>>,
    )?;
    ask_host(
        &mut store,
        KEYVALUE,
        "[method]bucket.set",
        |(bucket, key, value): (Handle, String, Vec<u8>)| (bucket.rep(), key, value),
        identity::<Answer<()>>,
    )?;
    ask_host(
        &mut store,
        KEYVALUE,
        "[method]bucket.delete",
        |(bucket, key): (Handle, String)| (bucket.rep(), key),
        identity::<Answer<()>>,
    )?;
    ask_host(
        &mut store,
        KEYVALUE,
        "[method]bucket.exists",
        |(bucket, key): (Handle, String)| (bucket.rep(), key),
        identity::<Answer<bool>>,
    )?;
    ask_host(
        &mut store,
        KEYVALUE,
        "[method]bucket.list-keys",
        |(bucket, cursor): (Handle, Option<u64>)| (bucket.rep(), cursor),
        identity::<Answer<KeyResponse>>,
    )?;
    let mut atomics = linker.instance(&format!("{ATOMICS}@{VERSION}"))?;
    ask_host(
        &mut atomics,
        ATOMICS,
        "increment",
        |(bucket, key, delta): (Handle, String, u64)| (bucket.rep(), key, delta),
        identity::<Answer<u64>>,
    )?;
    let mut batch = linker.instance(&format!("{BATCH}@{VERSION}"))?;
    ask_host(
        &mut batch,
        BATCH,
        "get-many",
        |(bucket, keys): (Handle, Vec<String>)| (bucket.rep(), keys),
        identity::<Answer<Vec<Option<Pair>>>>,
    )?;
    ask_host(
        &mut batch,
        BATCH,
        "set-many",
        |(bucket, pairs): (Handle, Vec<Pair>)| (bucket.rep(), pairs),
        identity::<Answer<()>>,
    )?;
    ask_host(
        &mut batch,
        BATCH,
        "delete-many",
        |(bucket, keys): (Handle, Vec<String>)| (bucket.rep(), keys),
        identity::<Answer<()>>,
    )
}

/// Answers what was asked. A number that is no bucket of the call is refused by its table.
pub(crate) fn answer<'a>(
    call: &'a mut CallState,
    interface: &'a str,
    function: &'a str,
    asked: &'a [u8],
) -> CrossingAnswer<'a> {
    let bucket = Handle::new_borrow;
    Box::pin(async move {
        match (interface, function) {
            (KEYVALUE, "open") => {
                let (name,) = crossed(asked)?;
                let opened = store::Host::open(call, name)?;
                cross(&opened.map(|bucket| bucket.rep()))
            }
            (KEYVALUE, "[method]bucket.get") => {
                let (rep, key) = crossed(asked)?;
                cross(&HostBucket::get(call, bucket(rep), key)?)
            }
            (KEYVALUE, "[method]bucket.set") => {
                let (rep, key, value) = crossed(asked)?;
                cross(&HostBucket::set(call, bucket(rep), key, value)?)
            }
            (KEYVALUE, "[method]bucket.delete") => {
                let (rep, key) = crossed(asked)?;
                cross(&HostBucket::delete(call, bucket(rep), key)?)
            }
            (KEYVALUE, "[method]bucket.exists") => {
                let (rep, key) = crossed(asked)?;
                cross(&HostBucket::exists(call, bucket(rep), key)?)
            }
            (KEYVALUE, "[method]bucket.list-keys") => {
                let (rep, cursor) = crossed(asked)?;
                cross(&HostBucket::list_keys(call, bucket(rep), cursor)?)
            }
            (KEYVALUE, DROP) => cross(&HostBucket::drop(call, Handle::new_own(crossed(asked)?))?),
            (ATOMICS, "increment") => {
                let (rep, key, delta) = crossed(asked)?;
                cross(&atomics::Host::increment(call, bucket(rep), key, delta)?)
            }
            (BATCH, "get-many") => {
                let (rep, keys) = crossed(asked)?;
                cross(&batch::Host::get_many(call, bucket(rep), keys)?)
            }
            (BATCH, "set-many") => {
                let (rep, pairs) = crossed(asked)?;
                cross(&batch::Host::set_many(call, bucket(rep), pairs)?)
            }
            (BATCH, "delete-many") => {
                let (rep, keys) = crossed(asked)?;
                cross(&batch::Host::delete_many(call, bucket(rep), keys)?)
            }
            (_, other) => Err(NotUnderstood::function(other).into()),
        }
    })
}
