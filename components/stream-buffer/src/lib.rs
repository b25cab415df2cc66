//! A bounded buffer of telemetry that drops by a gate every replica repeats, and counts what it drops.

mod admission;
mod buffer;
mod changes;
mod decimal;
mod digest;
mod error;
mod events;
mod flags;
pub mod gate;
mod ipc;
mod layout;
mod pressure;
mod queue;
mod runs;
mod settings;
mod sheddable;
mod size;
mod snapshot;
mod streams;
#[cfg(test)]
mod tests;

pub use buffer::{Admission, Buffer, LevelChange, PRIORITIES, Pressure, Totals};
pub use error::{Error, StateError};
pub use pressure::Amount;
pub use queue::Pulled;
pub use settings::{Salt, Settings};
pub use snapshot::FORMAT_VERSION;

/// The component's side: the generated names and ours.
// wit-bindgen's output calls the canonical ABI through raw pointers, and its names carry no docs of their own.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic)]
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/kinetic-capsule", "../../wit/kinetic-stream"],
        world: "kinetic:%stream/stream-buffer",
        generate_all,
    });

    use std::cell::RefCell;

    use exports::kinetic::capsule::lifecycle;
    use exports::kinetic::stream::buffer as wit;

    use crate::gate::Level;
    use crate::{Amount, Buffer, Error, FORMAT_VERSION, LevelChange, PRIORITIES, Settings, StateError};

    thread_local! {
        static BUFFER: RefCell<Buffer> = RefCell::default();
    }

    struct Capability;

    impl lifecycle::Guest for Capability {
        fn start(config: Vec<lifecycle::Setting>) -> Result<(), lifecycle::Error> {
            let settings = config.iter().map(|set| (set.key.as_str(), set.value.as_str()));
            let settings = Settings::parse(settings)?;
            BUFFER.with_borrow_mut(|buffer| buffer.start(settings))?;
            Ok(())
        }

        fn health() -> lifecycle::Condition {
            let complaint = BUFFER.with_borrow(Buffer::complaint);
            complaint.map_or(lifecycle::Condition::Ready, lifecycle::Condition::Degraded)
        }

        fn export_state() -> Result<lifecycle::Snapshot, lifecycle::Error> {
            Ok(lifecycle::Snapshot {
                format_version: FORMAT_VERSION,
                bytes: BUFFER.with_borrow(Buffer::export_state)?,
            })
        }

        fn import_state(snapshot: lifecycle::Snapshot) -> Result<(), lifecycle::Error> {
            BUFFER.with_borrow_mut(|buffer| buffer.import_state(snapshot.format_version, &snapshot.bytes))?;
            Ok(())
        }

        fn stop() -> Result<(), lifecycle::Error> {
            BUFFER.set(Buffer::default());
            Ok(())
        }
    }

    impl wit::Guest for Capability {
        fn offer(batch: Vec<u8>) -> Result<wit::Admission, wit::Error> {
            let admission = BUFFER.with_borrow_mut(|buffer| buffer.offer(batch))?;
            let change = |change: LevelChange| wit::LevelChange {
                stream: change.stream,
                from_sequence: change.from_sequence,
                level: change.level.get(),
            };
            Ok(wit::Admission {
                offered: admission.offered,
                kept: admission.kept,
                shed: classes(admission.shed),
                refused: admission.refused,
                assigned: admission.assigned,
                level_changes: admission.level_changes.into_iter().map(change).collect(),
            })
        }

        fn pull(max_events: u32, max_bytes: u64) -> Result<wit::Pulled, wit::Error> {
            let pulled = BUFFER.with_borrow_mut(|buffer| buffer.pull(max_events, max_bytes))?;
            Ok(wit::Pulled {
                batch: pulled.batch,
                events: pulled.events,
                up_to: pulled.up_to,
            })
        }

        fn acknowledge(up_to: u64) -> Result<(), wit::Error> {
            BUFFER.with_borrow_mut(|buffer| buffer.acknowledge(up_to))?;
            Ok(())
        }

        fn rewind() {
            BUFFER.with_borrow_mut(Buffer::rewind);
        }

        fn follow(changes: Vec<wit::LevelChange>) -> Result<(), wit::Error> {
            let change = |change: wit::LevelChange| {
                let level = Level::new(change.level).ok_or_else(|| {
                    wit::Error::Other(format!("there is no level {}; 256 is the highest", change.level))
                })?;
                Ok(LevelChange {
                    stream: change.stream,
                    from_sequence: change.from_sequence,
                    level,
                })
            };
            let changes: Vec<LevelChange> = changes.into_iter().map(change).collect::<Result<_, wit::Error>>()?;
            BUFFER.with_borrow_mut(|buffer| buffer.follow(&changes))?;
            Ok(())
        }

        fn lead() {
            BUFFER.with_borrow_mut(Buffer::lead);
        }

        fn level() -> wit::Pressure {
            let pressure = BUFFER.with_borrow(Buffer::pressure);
            wit::Pressure {
                level: pressure.level.get(),
                events: pressure.held.events,
                events_max: pressure.max.events,
                size_bytes: pressure.held.size_bytes,
                size_bytes_max: pressure.max.size_bytes,
                shed: classes(pressure.shed),
            }
        }
    }

    fn classes(shed: [Amount; PRIORITIES]) -> Vec<wit::ClassCount> {
        let class = |(priority, amount): (u8, Amount)| wit::ClassCount {
            priority,
            events: amount.events,
            size_bytes: amount.size_bytes,
        };
        (0..)
            .zip(shed)
            .filter(|(_, amount)| amount.events > 0)
            .map(class)
            .collect()
    }

    impl From<Error> for wit::Error {
        fn from(error: Error) -> Self {
            match error {
                Error::BadBatch(text) => Self::BadBatch(text),
                Error::TooLarge {
                    size_bytes,
                    size_bytes_max,
                } => Self::TooLarge((size_bytes, size_bytes_max)),
                Error::TooManyStreams(most) => Self::TooManyStreams(most),
                Error::NotPulled(text) => Self::NotPulled(text),
                Error::Other(text) => Self::Other(text),
            }
        }
    }

    impl From<StateError> for lifecycle::Error {
        fn from(error: StateError) -> Self {
            match error {
                StateError::BadSetting(text) => Self::BadSetting(text),
                StateError::UnknownFormat(newest) => Self::UnknownFormat(newest),
                StateError::DamagedSnapshot(text) => Self::DamagedSnapshot(text),
                StateError::Other(text) => Self::Other(text),
            }
        }
    }

    // Names of interfaces have colons, which other targets' linkers do not take.
    #[cfg(target_arch = "wasm32")]
    export!(Capability);
}
