//! What guests of these tests import: notes that are part of the call, and pages behind handles.

use std::convert::identity;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kinetic_model::{Fault, ImportGrant};
use wasmtime::component::{Linker, Resource, ResourceType};

use crate::{
    CallState, Configured, CrossingAnswer, Grantee, NotUnderstood, Provider, ask_host, cross, crossed, resource_of_host,
};

pub(super) const BOOK: &str = "tests:host/book";
const DROP: &str = "[resource-drop]page";

/// A page of the book; its number is what stands behind a handle.
struct Page(u32);

/// What a call has noted together.
#[derive(Default)]
pub(super) struct Noted(pub(super) u32);

/// What guests are given: a note of 13 ends the call, one of 99 takes for ever.
pub(super) struct Book {
    pub(super) open: Arc<AtomicU32>,
}

struct Granted {
    open: Arc<AtomicU32>,
}

async fn note(call: &mut CallState, number: u32) -> wasmtime::Result<u32> {
    if let Some(sum) = call.replayed::<u32>(BOOK, "note", &number)? {
        return Ok(sum);
    }
    match number {
        13 => return Err(wasmtime::format_err!("thirteen is not noted")),
        99 => {
            let _open = Open::new(call.extension::<Arc<AtomicU32>>().0.cloned().unwrap_or_default());
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    let mut sum = 0;
    call.extensions().change(|noted: &mut Noted| {
        noted.0 += number;
        sum = noted.0;
    });
    call.taped(&sum)?;
    Ok(sum)
}

/// Counts host calls that are under way.
struct Open(Arc<AtomicU32>);

impl Open {
    fn new(open: Arc<AtomicU32>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn turn_to(call: &mut CallState, number: u32) -> wasmtime::Result<Resource<Page>> {
    Ok(call.table().push(Page(number))?)
}

fn number(call: &mut CallState, page: &Resource<Page>) -> wasmtime::Result<u32> {
    Ok(call.table().get(page)?.0)
}

impl Provider for Book {
    fn name(&self) -> &'static str {
        "tests:host"
    }

    fn serves(&self, interface: &str) -> bool {
        interface == BOOK
    }

    fn granted_by(&self, _: &str) -> String {
        BOOK.into()
    }

    fn link(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        let mut book = linker.instance("tests:host/book@1.0.0")?;
        book.resource("page", ResourceType::host::<Page>(), |mut store, rep| {
            store.data_mut().table().delete(Resource::<Page>::new_own(rep))?;
            Ok(())
        })?;
        book.func_wrap_async("note", |mut store, (noted,): (u32,)| {
            Box::new(async move { Ok::<_, wasmtime::Error>((note(store.data_mut(), noted).await?,)) })
        })?;
        book.func_wrap("turn-to", |mut store, (page,): (u32,)| {
            Ok((turn_to(store.data_mut(), page)?,))
        })?;
        book.func_wrap("[method]page.number", |mut store, (page,): (Resource<Page>,)| {
            Ok((number(store.data_mut(), &page)?,))
        })
    }

    fn crosses(&self, interface: &str) -> bool {
        interface == BOOK
    }

    fn link_in_worker(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        let mut book = linker.instance("tests:host/book@1.0.0")?;
        resource_of_host::<Page>(&mut book, BOOK, "page", DROP)?;
        ask_host(&mut book, BOOK, "note", identity::<(u32,)>, identity::<u32>)?;
        ask_host(
            &mut book,
            BOOK,
            "turn-to",
            identity::<(u32,)>,
            Resource::<Page>::new_own,
        )?;
        ask_host(
            &mut book,
            BOOK,
            "[method]page.number",
            |(page,): (Resource<Page>,)| page.rep(),
            identity::<u32>,
        )
    }

    fn configure(&self, _: &Grantee, _: &[ImportGrant]) -> Result<Arc<dyn Configured>, Fault> {
        let open = self.open.clone();
        Ok(Arc::new(Granted { open }))
    }
}

impl Configured for Granted {
    fn prepare(&self, call: &mut CallState) {
        call.put_extension(self.open.clone());
    }

    fn crosses(&self, interface: &str) -> bool {
        interface == BOOK
    }

    fn answer<'a>(
        &'a self,
        call: &'a mut CallState,
        _: &'a str,
        function: &'a str,
        asked: &'a [u8],
    ) -> CrossingAnswer<'a> {
        Box::pin(async move {
            match function {
                "note" => {
                    let (noted,) = crossed::<(u32,)>(asked)?;
                    cross(&note(call, noted).await?)
                }
                "turn-to" => {
                    let (page,) = crossed::<(u32,)>(asked)?;
                    cross(&turn_to(call, page)?.rep())
                }
                "[method]page.number" => cross(&number(call, &Resource::new_borrow(crossed(asked)?))?),
                DROP => {
                    call.table().delete(Resource::<Page>::new_own(crossed(asked)?))?;
                    cross(&())
                }
                other => Err(NotUnderstood::function(other).into()),
            }
        })
    }
}

/// Notes two numbers after one another; opens pages, reads one, and keeps or drops them.
pub(super) fn reader() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (import "tests:host/book@1.0.0" (instance $book
                (export "page" (type $page (sub resource)))
                (export "note" (func (param "number" u32) (result u32)))
                (export "turn-to" (func (param "number" u32) (result (own $page))))
                (export "[method]page.number" (func (param "self" (borrow $page)) (result u32)))))
            (alias export $book "page" (type $page))
            (core func $note (canon lower (func $book "note")))
            (core func $turn (canon lower (func $book "turn-to")))
            (core func $number (canon lower (func $book "[method]page.number")))
            (core func $drop (canon resource.drop $page))
            (core module $m
                (import "" "note" (func $note (param i32) (result i32)))
                (import "" "turn" (func $turn (param i32) (result i32)))
                (import "" "number" (func $number (param i32) (result i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "notes") (param i32 i32) (result i32)
                    (drop (call $note (local.get 0)))
                    (call $note (local.get 1)))
                (func (export "reads") (param $page i32) (param $keeps i32) (result i32)
                    (local $first i32) (local $second i32) (local $sum i32)
                    (local.set $first (call $turn (local.get $page)))
                    (local.set $second (call $turn (i32.const 100)))
                    (local.set $sum (i32.add (call $number (local.get $first)) (call $number (local.get $second))))
                    (if (i32.eqz (local.get $keeps)) (then (call $drop (local.get $first))))
                    (local.get $sum))
                (func (export "notes-and-traps") (param i32) (result i32)
                    (drop (call $note (local.get 0)))
                    unreachable))
            (core instance $i (instantiate $m (with "" (instance
                (export "note" (func $note)) (export "turn" (func $turn))
                (export "number" (func $number)) (export "drop" (func $drop))))))
            (func (export "notes") (param "one" u32) (param "two" u32) (result u32)
                (canon lift (core func $i "notes")))
            (func (export "reads") (param "page" u32) (param "keeps" u32) (result u32)
                (canon lift (core func $i "reads")))
            (func (export "notes-and-traps") (param "number" u32) (result u32)
                (canon lift (core func $i "notes-and-traps"))))"#,
    )
    .unwrap()
}
