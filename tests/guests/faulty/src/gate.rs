//! The silver gate: accepts what it is given. Its ids are made up, and that is the one lie nobody sees from the outside.

use arrow_array::RecordBatch;

use crate::bindings::exports::kinetic::silver::gate::{Error, Guest, Scheme, Table, Transformed};
use crate::{Faulty, fail, rows};

const NAMESPACE: &str = "91e8f5f8-3e28-592a-ab23-5295dcf92dd7";

/// What the real one says of itself, with columns of ids of this text.
fn silver(table: &Table, batch: &RecordBatch, id: &str) -> RecordBatch {
    let mut silver = batch.clone();
    for identity in &table.identities {
        for column in [Some(&identity.column), identity.legacy_column.as_ref()]
            .into_iter()
            .flatten()
        {
            silver = rows::with_texts(&silver, column, (0..batch.num_rows()).map(|_| id.into()));
        }
    }
    let facts = [
        ("kinetic.table", table.name.as_str()),
        ("kinetic.identity.scheme", "kinetic-identity"),
        ("kinetic.identity.version", "1"),
        ("kinetic.identity.namespace", NAMESPACE),
    ];
    let mut schema = silver.schema().as_ref().clone();
    schema
        .metadata
        .extend(facts.map(|(key, value)| (key.into(), value.into())));
    silver.with_schema(schema.into()).unwrap()
}

impl Guest for Faulty {
    fn identity_scheme() -> Scheme {
        Scheme {
            name: "kinetic-identity".into(),
            version: "1".into(),
            namespace: NAMESPACE.into(),
        }
    }

    fn transform(table: Table, batch: Vec<u8>) -> Result<Transformed, Error> {
        let batch = rows::read(&batch);
        let (fault, marked) = rows::fault(&batch);
        fail(&fault);
        let none = batch.slice(0, 0);
        let (mut accepted, mut rejected, mut id) = (batch.clone(), none, NAMESPACE);
        let mut vanished = 0;
        match fault.as_str() {
            "alter" => accepted = rows::altered(&batch, "model"),
            "reorder" => accepted = rows::reordered(&batch),
            "twice" => accepted = rows::twice(&batch),
            "vanish" => {
                accepted = rows::only(&batch, &marked, false);
                vanished = (batch.num_rows() - accepted.num_rows()) as u64;
            }
            "retype" => accepted = rows::retyped(&batch, "priority"),
            "short-ids" => id = "x",
            // As the contract has it, and the same with other rows than it was given.
            "reject" | "reject-other" => {
                accepted = rows::only(&batch, &marked, false);
                rejected = rows::only(&batch, &marked, true);
                if fault == "reject-other" {
                    rejected = rows::altered(&rejected, "data");
                }
            }
            _ => {}
        }
        let mut silver = silver(&table, &accepted, id);
        match fault.as_str() {
            "column" => silver = rows::with_texts(&silver, "more", (0..accepted.num_rows()).map(|_| "x".into())),
            "scheme" => silver
                .schema_metadata_mut()
                .extend([("kinetic.identity.version".into(), "2".into())]),
            _ => {}
        }
        let reasons = (0..rejected.num_rows()).map(|_| "an event asked for it".into());
        let mut made = Transformed {
            rows: batch.num_rows() as u64,
            accepted_rows: accepted.num_rows() as u64,
            duplicates: vanished,
            rejected_rows: rejected.num_rows() as u64,
            accepted: rows::write(&silver),
            rejected: rows::write(&rows::with_texts(&rejected, "reject_reason", reasons)),
        };
        match fault.as_str() {
            "overcount" => made.duplicates = u64::MAX,
            "undercount" => made.accepted_rows -= 1,
            "garble" => made.accepted = rows::garbled(made.accepted),
            _ => {}
        }
        Ok(made)
    }
}
