//! SQLite with a write-ahead log and full sync, behind one writer thread, as its users append to it.

use std::time::Duration;

use kinetic_testkit::engine::runtime;
use rusqlite::{Connection, params};

use crate::flight::{Run, fly};
use crate::group::Group;
use crate::{BODY, Body};

/// How records share transactions.
#[derive(Clone, Copy)]
pub enum Transactions {
    OnePerGroup,
    OnePerRecord,
}

pub fn version() -> &'static str {
    rusqlite::version()
}

pub fn measure(transactions: Transactions, in_flight: usize, time: Duration) -> Run {
    let folder = crate::folder();
    let mut database = Connection::open(folder.path().join("log.sqlite")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "synchronous", "FULL").unwrap();
    database
        .execute_batch("CREATE TABLE record (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")
        .unwrap();
    let records_max = match transactions {
        Transactions::OnePerGroup => usize::MAX,
        Transactions::OnePerRecord => 1,
    };
    let group = Group::start(records_max, move |bodies| insert(&mut database, bodies));
    let appender = group.appender();
    fly(&runtime(), in_flight, time, move || {
        let appender = appender.clone();
        async move { appender.append(BODY).await }
    })
}

fn insert(database: &mut Connection, bodies: &[Body]) {
    let transaction = database.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare_cached("INSERT INTO record (body) VALUES (?1)")
            .unwrap();
        for body in bodies {
            insert.execute(params![body.as_slice()]).unwrap();
        }
    }
    transaction.commit().unwrap();
}
