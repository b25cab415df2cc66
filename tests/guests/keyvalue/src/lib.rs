//! Keeps what it is told through wasi:keyvalue, knowing nothing of the host.

wit_bindgen::generate!({ path: "wit", generate_all });

use wasi::keyvalue::store::{self, Bucket, Error};
use wasi::keyvalue::{atomics, batch};

struct Keyvalue;

fn text(error: Error) -> String {
    format!("{error:?}")
}

fn open(name: &str) -> Result<Bucket, String> {
    store::open(name).map_err(text)
}

fn read(bucket: &Bucket, key: &str) -> Result<Option<String>, String> {
    let value = bucket.get(key).map_err(text)?;
    Ok(value.map(|bytes| String::from_utf8(bytes).unwrap()))
}

impl Guest for Keyvalue {
    fn set(bucket: String, key: String, value: String) -> Result<Option<String>, String> {
        let bucket = open(&bucket)?;
        bucket.set(&key, value.as_bytes()).map_err(text)?;
        read(&bucket, &key)
    }

    fn get(bucket: String, key: String) -> Result<(Option<String>, bool), String> {
        let bucket = open(&bucket)?;
        Ok((read(&bucket, &key)?, bucket.exists(&key).map_err(text)?))
    }

    fn delete(bucket: String, key: String) -> Result<(), String> {
        open(&bucket)?.delete(&key).map_err(text)
    }

    fn increment(bucket: String, key: String, delta: u64) -> Result<u64, String> {
        atomics::increment(&open(&bucket)?, &key, delta).map_err(text)
    }

    fn increment_and_err(bucket: String, key: String, delta: u64) -> Result<u64, String> {
        atomics::increment(&open(&bucket)?, &key, delta).map_err(text)?;
        Err("changed my mind".into())
    }

    fn many(bucket: String, count: u32) -> Result<u32, String> {
        let bucket = open(&bucket)?;
        let names: Vec<String> = (0..count).map(|number| format!("many-{number:05}")).collect();
        let pairs: Vec<(String, Vec<u8>)> = names
            .iter()
            .map(|name| (name.clone(), name.clone().into_bytes()))
            .collect();
        batch::set_many(&bucket, &pairs).map_err(text)?;
        let second: Vec<String> = names.iter().skip(1).step_by(2).cloned().collect();
        batch::delete_many(&bucket, &second).map_err(text)?;
        let found = batch::get_many(&bucket, &names).map_err(text)?;
        assert_eq!(found.len(), names.len());
        let kept = found.into_iter().flatten();
        Ok(kept.inspect(|(name, value)| assert_eq!(name.as_bytes(), value)).count() as u32)
    }

    fn keys(bucket: String) -> Result<(u32, u32), String> {
        let bucket = open(&bucket)?;
        let (mut keys, mut answers, mut cursor) = (0, 0, None);
        loop {
            let page = bucket.list_keys(cursor).map_err(text)?;
            keys += page.keys.len() as u32;
            answers += 1;
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok((keys, answers));
            }
        }
    }
}

export!(Keyvalue);
