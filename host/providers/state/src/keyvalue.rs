//! `wasi:keyvalue` over the state: a bucket is the capsule's own keys, or those of its type, in the call's transaction.
//!
//! The names "" and "default" open the capsule's own keys, "shared" those of its type, as far as the manifest grants them.
//! What the draft leaves to hosts is stronger here: a call sees one snapshot, a batch is written whole or not at all, and
//! a call whose reads somebody overtook is made again, so an increment never loses another.

use kinetic_engine::{CallState, TapedBytes as Value};
use kinetic_ledger::Effects;
use kinetic_ledger::state::{Key, KeyRange};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::answers::Failure;
use crate::bindings::kinetic::state::store::Owner;
use crate::host::{failed, text, writable};
use crate::{Access, KEYVALUE, PerCall};

pub(crate) mod crossing;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../../wit/deps/keyvalue",
        world: "wasi:keyvalue/imports",
        imports: { default: trappable },
        additional_derives: [serde::Serialize, serde::Deserialize],
        with: {
            "wasi:keyvalue/store.bucket": super::Bucket,
        },
    });
}

/// Keys that one answer lists.
const KEYS_MAX: usize = 1_000;
/// Answers of one bucket that can be continued from.
const CURSORS_MAX: usize = 1_000;
/// What the values of one batch that is read take, in bytes.
const BATCH_BYTES_MAX: usize = 32 << 20;

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

/// An open bucket.
pub struct Bucket {
    /// The keys of the capsule's type, not its own.
    shared: bool,
    /// Where the lists it gave ended that have more behind them: a cursor is a number of these.
    cursors: Vec<Key>,
}

pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    atomics::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    batch::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl From<Failure> for store::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(_) => Self::AccessDenied,
            Failure::TooLarge(why) | Failure::NoBranch(why) | Failure::Other(why) => Self::Other(why),
            Failure::BelowHorizon(horizon) => Self::Other(format!("records below {horizon} are gone")),
        }
    }
}

/// The keys of a bucket within the call's transaction.
struct Keys<'a> {
    access: &'a Access,
    effects: &'a mut Effects,
    shared: bool,
}

impl Keys<'_> {
    fn key(&self, key: &str) -> Result<Key, Failure> {
        Ok(Key::new(writable(self.access, &owner(self.shared))?, key.as_bytes()))
    }

    fn get(&mut self, key: &str) -> Result<Option<Value>, Failure> {
        let key = self.key(key)?;
        let value = self.effects.transaction().and_then(|t| t.get(&key)).map_err(failed)?;
        Ok(value.map(|value| Value(value.to_vec())))
    }

    fn set(&mut self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        let key = self.key(key)?;
        self.effects
            .transaction()
            .and_then(|t| t.put(key, value))
            .map_err(failed)
    }

    fn delete(&mut self, key: &str) -> Result<(), Failure> {
        let key = self.key(key)?;
        self.effects.transaction().and_then(|t| t.delete(key)).map_err(failed)
    }

    /// Some values, as many as there are names.
    fn get_many(&mut self, names: &[String]) -> Result<Vec<Option<Value>>, Failure> {
        let mut values = Vec::with_capacity(names.len());
        let mut bytes = 0;
        for name in names {
            let value = self.get(name)?;
            bytes += value.as_ref().map_or(0, |value| value.0.len());
            if bytes > BATCH_BYTES_MAX {
                let why = format!("the values take more than {BATCH_BYTES_MAX} bytes: ask for fewer at once");
                return Err(Failure::TooLarge(why));
            }
            values.push(value);
        }
        Ok(values)
    }

    /// The keys after one, and where they end when there are more.
    fn list(&mut self, after: Option<&Key>) -> Result<(Vec<String>, Option<Key>), Failure> {
        let range = KeyRange::prefix(&writable(self.access, &owner(self.shared))?, b"");
        let found = self
            .effects
            .transaction()
            .and_then(|t| t.scan(&range, KEYS_MAX, after))
            .map_err(failed)?;
        Ok((
            found.entries.iter().filter_map(|(key, _)| text(key)).collect(),
            found.next,
        ))
    }

    /// Numbers are decimal text, as other hosts of the interface have them.
    fn increment(&mut self, key: &str, delta: u64) -> Result<u64, Failure> {
        let other = |why: &str| Failure::Other(format!("the value of {key} {why}"));
        let number = match self.get(key)? {
            None => 0,
            Some(value) => {
                let number = std::str::from_utf8(&value.0)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok());
                number.ok_or_else(|| other("is no whole number in decimal text: set it to one first"))?
            }
        };
        let number = number
            .checked_add(delta)
            .ok_or_else(|| other("would pass 64 bits: set it to a smaller one first"))?;
        self.set(key, number.to_string().into_bytes())?;
        Ok(number)
    }
}

const fn owner(shared: bool) -> Owner {
    if shared { Owner::Shared } else { Owner::Mine }
}

/// One call of a function of a bucket, through the tape. `request` is what the guest asked beside the bucket.
fn turn<T: Serialize + DeserializeOwned>(
    call: &mut CallState,
    bucket: &Resource<Bucket>,
    function: &str,
    request: &impl Serialize,
    work: impl FnOnce(&mut Keys<'_>) -> Result<T, Failure>,
) -> Answer<T> {
    let shared = call.table().get(bucket)?.shared;
    crate::turn::turn(call, KEYVALUE, function, &(shared, request), |access, effects| {
        work(&mut Keys {
            access,
            effects,
            shared,
        })
    })
}

impl store::Host for CallState {
    fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        let shared = match identifier.as_str() {
            "" | "default" => false,
            "shared" => true,
            _ => return Ok(Err(store::Error::NoSuchStore)),
        };
        let access = self.extension::<PerCall>().0.map(|own| own.access.clone());
        // What the manifest grants is the same in a replay, so this needs no place on the tape.
        if access.is_none_or(|access| writable(&access, &owner(shared)).is_err()) {
            return Ok(Err(store::Error::AccessDenied));
        }
        let bucket = Bucket {
            shared,
            cursors: Vec::new(),
        };
        Ok(Ok(self.table().push(bucket)?))
    }
}

impl store::HostBucket for CallState {
    fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let value = turn(self, &bucket, "get", &key, |keys| keys.get(&key))?;
        Ok(value.map(|value| value.map(|value| value.0)))
    }

    fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let value = Value(value);
        turn(self, &bucket, "set", &(&key, &value), |keys| {
            keys.set(&key, value.0.clone())
        })
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        turn(self, &bucket, "delete", &key, |keys| keys.delete(&key))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        turn(self, &bucket, "exists", &key, |keys| Ok(keys.get(&key)?.is_some()))
    }

    fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Answer<store::KeyResponse> {
        let cursors = &self.table().get(&bucket)?.cursors;
        let given = cursors.len();
        let after = cursor.map(|cursor| {
            usize::try_from(cursor)
                .ok()
                .and_then(|cursor| cursors.get(cursor).cloned())
        });
        let mut end = None;
        let listed = turn(self, &bucket, "list-keys", &cursor, |keys| {
            if after == Some(None) {
                return Err(Failure::Other(
                    "the cursor is none that this bucket gave: begin without one".into(),
                ));
            }
            let (names, more) = keys.list(after.flatten().as_ref())?;
            if more.is_some() && given >= CURSORS_MAX {
                return Err(Failure::Other(format!(
                    "the bucket has given {CURSORS_MAX} cursors: open it anew"
                )));
            }
            end = more;
            Ok((names, end.is_some().then_some(given)))
        })?;
        if let Some(key) = end {
            self.table().get_mut(&bucket)?.cursors.push(key);
        }
        Ok(listed.map(|(keys, cursor)| store::KeyResponse {
            keys,
            cursor: cursor.map(|cursor| cursor as u64),
        }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for CallState {
    fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Answer<u64> {
        turn(self, &bucket, "increment", &(&key, delta), |keys| {
            keys.increment(&key, delta)
        })
    }
}

impl batch::Host for CallState {
    fn get_many(&mut self, bucket: Resource<Bucket>, names: Vec<String>) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        let found = turn(self, &bucket, "get-many", &names, |keys| keys.get_many(&names))?;
        let pair = |(name, value): (String, Option<Value>)| value.map(|value| (name, value.0));
        Ok(found.map(|values| names.into_iter().zip(values).map(pair).collect()))
    }

    fn set_many(&mut self, bucket: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        let pairs: Vec<(String, Value)> = pairs.into_iter().map(|(name, value)| (name, Value(value))).collect();
        turn(self, &bucket, "set-many", &pairs, |keys| {
            pairs
                .iter()
                .try_for_each(|(name, value)| keys.set(name, value.0.clone()))
        })
    }

    fn delete_many(&mut self, bucket: Resource<Bucket>, names: Vec<String>) -> Answer<()> {
        turn(self, &bucket, "delete-many", &names, |keys| {
            names.iter().try_for_each(|name| keys.delete(name))
        })
    }
}
