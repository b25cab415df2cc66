//! Keeps counters in the host's state, well and badly.

wit_bindgen::generate!({ path: "wit", generate_all });

use kinetic::state::store::{self, Error, Owner};

struct Stateful;

fn text(error: Error) -> String {
    format!("{error:?}")
}

fn number(value: Option<Vec<u8>>) -> i64 {
    value.map_or(0, |bytes| String::from_utf8(bytes).unwrap().parse().unwrap())
}

fn add(name: &str, amount: i64) -> Result<i64, String> {
    let sum = number(store::get(&Owner::Mine, name).map_err(text)?) + amount;
    store::put(&Owner::Mine, name, sum.to_string().as_bytes()).map_err(text)?;
    Ok(sum)
}

fn sum(prefix: &str) -> Result<i64, String> {
    let (mut sum, mut after) = (0, None);
    loop {
        let page = store::scan(&Owner::Mine, prefix, after.as_deref(), 100).map_err(text)?;
        sum += page
            .entries
            .into_iter()
            .map(|entry| number(Some(entry.value)))
            .sum::<i64>();
        after = page.next;
        if after.is_none() {
            return Ok(sum);
        }
    }
}

fn changes(owner: &Owner, prefix: &str, start: u64, wait_ms: u32) -> Result<Told, String> {
    let page = store::changes(owner, prefix, start, 100, wait_ms).map_err(text)?;
    let changes = page.changes.into_iter().map(|change| {
        let value = change.value.map(|value| String::from_utf8(value).unwrap());
        (change.key, value, change.seq)
    });
    Ok((changes.collect(), page.next))
}

impl Guest for Stateful {
    fn add(name: String, amount: i64) -> Result<i64, String> {
        add(&name, amount)
    }

    fn read(name: String) -> Result<i64, String> {
        Ok(number(store::get(&Owner::Mine, &name).map_err(text)?))
    }

    fn sum(prefix: String) -> Result<i64, String> {
        sum(&prefix)
    }

    fn add_and_err(name: String, amount: i64) -> Result<i64, String> {
        add(&name, amount)?;
        Err("changed my mind".into())
    }

    fn add_and_panic(name: String, amount: i64) -> Result<i64, String> {
        add(&name, amount)?;
        panic!("after writing")
    }

    fn add_below(of: String, to: String, limit: i64) -> Result<bool, String> {
        let below = sum(&of)? < limit;
        if below {
            add(&to, 1)?;
        }
        Ok(below)
    }

    fn peek(urn: String, name: String) -> Result<Option<Vec<u8>>, String> {
        store::get(&Owner::Other(urn), &name).map_err(text)
    }

    fn share(name: String, value: String) -> Result<(), String> {
        store::put(&Owner::Shared, &name, value.as_bytes()).map_err(text)
    }

    fn past(name: String, at: u64) -> Result<(Option<Vec<u8>>, u32), String> {
        let version = store::as_of(&Owner::Mine, &name, at).map_err(text)?;
        let history = store::history(&Owner::Mine, &name, None, 10_000).map_err(text)?;
        Ok((version.map(|version| version.value), history.len() as u32))
    }

    fn fork(branch: String) -> Result<(), String> {
        store::create_branch(&branch).map_err(text)
    }

    fn add_on(branch: String, name: String, amount: i64) -> Result<i64, String> {
        store::use_branch(&branch).map_err(text)?;
        add(&name, amount)
    }

    fn changes(urn: Option<String>, prefix: String, start: u64, wait_ms: u32) -> Result<Told, String> {
        changes(&urn.map_or(Owner::Mine, Owner::Other), &prefix, start, wait_ms)
    }

    fn read_then_changes(name: String, start: u64) -> Result<(i64, Told), String> {
        let now = number(store::get(&Owner::Mine, &name).map_err(text)?);
        Ok((now, changes(&Owner::Mine, &name, start, 30_000)?))
    }

    fn changes_then_read(name: String, start: u64) -> Result<(Told, i64, u64), String> {
        let told = changes(&Owner::Mine, &name, start, 30_000)?;
        let now = number(store::get(&Owner::Mine, &name).map_err(text)?);
        Ok((told, now, store::snapshot().map_err(text)?))
    }
}

export!(Stateful);
