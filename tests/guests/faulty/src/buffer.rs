//! The stream buffer: holds what it is offered, numbers nothing, drops only where it is asked to.

use std::cell::RefCell;
use std::collections::VecDeque;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt8Type;

use crate::bindings::exports::kinetic::capsule::lifecycle;
use crate::bindings::exports::kinetic::stream::buffer::{
    Admission, ClassCount, Error, Guest, LevelChange, Pressure, Pulled,
};
use crate::{Faulty, fail, rows};

#[derive(Default)]
struct Buffer {
    held: VecDeque<Pulled>,
    end: u64,
    /// While it is told what was decided it does that and no wrong.
    follows: bool,
    /// Panics when it is to hand out.
    fails: bool,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::default();
}

impl Buffer {
    fn hold(&mut self, batch: &RecordBatch) {
        if batch.num_rows() > 0 {
            self.end += batch.num_rows() as u64;
            self.held.push_back(Pulled {
                batch: rows::write(batch),
                events: batch.num_rows() as u64,
                up_to: self.end,
            });
        }
    }

    fn offer(&mut self, batch: &RecordBatch) -> Admission {
        let (fault, marked) = rows::fault(batch);
        let fault = if self.follows { "" } else { fault.as_str() };
        fail(fault);
        let (count, change) = (batch.num_rows() as u64, |stream: &str, level| {
            vec![LevelChange {
                stream: stream.into(),
                from_sequence: 0,
                level,
            }]
        });
        let mut admission = Admission {
            offered: count,
            kept: count,
            shed: vec![],
            refused: 0,
            assigned: vec![],
            level_changes: vec![],
        };
        let mut held = batch.clone();
        match fault {
            "panic-in-pull" => self.fails = true,
            // What it drops is as it says; whether it may be is another matter.
            "shed" | "shed-other" => {
                let dropped = rows::only(batch, &marked, true);
                held = rows::only(batch, &marked, false);
                admission.kept = held.num_rows() as u64;
                let priorities = dropped.column_by_name("priority").unwrap();
                let wrong = u8::from(fault == "shed-other");
                let class = |priority: &u8| ClassCount {
                    priority: priority ^ wrong,
                    events: 1,
                    size_bytes: 1,
                };
                admission.shed = priorities
                    .as_primitive::<UInt8Type>()
                    .values()
                    .iter()
                    .map(class)
                    .collect();
            }
            "hide" => held = rows::only(batch, &marked, false),
            "overstate" => admission.kept = u64::MAX,
            "refuse-more" => admission.refused = count,
            "number" => admission.assigned = vec![7],
            "twice" => held = rows::twice(batch),
            "reorder" => held = rows::reordered(batch),
            "alter" => held = rows::altered(batch, "data"),
            "retype" => held = rows::retyped(batch, "received_unix_ns"),
            "level" => admission.level_changes = change(rows::texts(batch, "stream").value(0), 257),
            "level-of-nobody" => admission.level_changes = change("nobody/nothing", 16),
            _ => {}
        }
        self.hold(&held);
        if let Some(last) = self.held.back_mut() {
            match fault {
                "garble" => last.batch = rows::garbled(std::mem::take(&mut last.batch)),
                "count" => last.events -= 1,
                _ => {}
            }
        }
        admission
    }
}

impl Guest for Faulty {
    fn offer(batch: Vec<u8>) -> Result<Admission, Error> {
        Ok(BUFFER.with_borrow_mut(|buffer| buffer.offer(&rows::read(&batch))))
    }

    fn pull(_: u32, _: u64) -> Result<Pulled, Error> {
        BUFFER.with_borrow_mut(|buffer| {
            assert!(!buffer.fails, "an event asked for it");
            let nothing = Pulled {
                batch: vec![],
                events: 0,
                up_to: buffer.end,
            };
            Ok(buffer.held.pop_front().unwrap_or(nothing))
        })
    }

    fn acknowledge(_: u64) -> Result<(), Error> {
        Ok(())
    }

    fn rewind() {}

    fn follow(_: Vec<LevelChange>) -> Result<(), Error> {
        BUFFER.with_borrow_mut(|buffer| buffer.follows = true);
        Ok(())
    }

    fn lead() {
        BUFFER.with_borrow_mut(|buffer| buffer.follows = false);
    }

    fn level() -> Pressure {
        Pressure {
            level: 0,
            events: 0,
            events_max: 1,
            size_bytes: 0,
            size_bytes_max: 1,
            shed: vec![],
        }
    }
}

impl lifecycle::Guest for Faulty {
    fn start(_: Vec<lifecycle::Setting>) -> Result<(), lifecycle::Error> {
        Ok(())
    }

    fn health() -> lifecycle::Condition {
        lifecycle::Condition::Ready
    }

    /// No other one can read this.
    fn export_state() -> Result<lifecycle::Snapshot, lifecycle::Error> {
        Ok(lifecycle::Snapshot {
            format_version: u32::MAX,
            bytes: b"nothing".to_vec(),
        })
    }

    fn import_state(_: lifecycle::Snapshot) -> Result<(), lifecycle::Error> {
        Ok(())
    }

    fn stop() -> Result<(), lifecycle::Error> {
        Ok(())
    }
}
