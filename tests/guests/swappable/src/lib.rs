//! A capsule in as many versions as there are ways to be swapped in well and badly; the words in its bytes say which one.

wit_bindgen::generate!({ path: "wit", generate_all });

use std::hint::black_box;
use std::sync::Mutex;

use exports::kinetic::capsule::lifecycle::{Condition, Error, Guest as Lifecycle, Setting, Snapshot};

/// Words `name=value`, with a space between them and spaces behind; whoever makes a version writes others in their place.
static WORDS: [u8; 128] = padded(b"swappable version=0.0.0");

const fn padded(text: &[u8]) -> [u8; 128] {
    let mut all = [b' '; 128];
    let mut i = 0;
    while i < text.len() {
        all[i] = text[i];
        i += 1;
    }
    all
}

/// What stands behind a name. The compiler must not believe that it knows the words.
fn word(name: &str) -> Option<&'static str> {
    let words = std::str::from_utf8(black_box(&WORDS)).unwrap();
    words
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn version() -> &'static str {
    word("version").unwrap()
}

struct State {
    sum: u64,
    padding: Vec<u8>,
}

static STATE: Mutex<State> = Mutex::new(State {
    sum: 0,
    padding: Vec::new(),
});

struct Swappable;

impl Lifecycle for Swappable {
    fn start(_: Vec<Setting>) -> Result<(), Error> {
        match word("start") {
            Some("traps") => panic!("it was told to trap when it starts"),
            Some("refuses") => return Err(Error::Other("it was told not to start".into())),
            _ => {}
        }
        let padding = word("padding").map_or(0, |bytes| bytes.parse().unwrap());
        STATE.lock().unwrap().padding = vec![7; padding];
        Ok(())
    }

    fn health() -> Condition {
        Condition::Ready
    }

    /// The version that wrote it and the sum in a line, and the padding behind it.
    fn export_state() -> Result<Snapshot, Error> {
        let state = STATE.lock().unwrap();
        let mut bytes = match word("state") {
            Some("bad") => b"nothing that it reads".to_vec(),
            _ => format!("{} {}\n", version(), state.sum).into_bytes(),
        };
        bytes.extend_from_slice(&state.padding);
        Ok(Snapshot {
            format_version: 1,
            bytes,
        })
    }

    fn import_state(snapshot: Snapshot) -> Result<(), Error> {
        if snapshot.format_version != 1 {
            return Err(Error::UnknownFormat(1));
        }
        let damaged = |why: &str| Error::DamagedSnapshot(why.into());
        let end = snapshot.bytes.iter().position(|byte| *byte == b'\n');
        let (line, padding) = snapshot.bytes.split_at(end.ok_or_else(|| damaged("it has no line"))?);
        let line = std::str::from_utf8(line).map_err(|_| damaged("its line is no text"))?;
        let (writer, sum) = line.split_once(' ').ok_or_else(|| damaged("its line has no sum"))?;
        if word("state") == Some("own") && writer != version() {
            return Err(damaged("another version wrote it"));
        }
        *STATE.lock().unwrap() = State {
            sum: sum.parse().map_err(|_| damaged("its sum is no number"))?,
            padding: padding[1..].to_vec(),
        };
        Ok(())
    }

    fn stop() -> Result<(), Error> {
        Ok(())
    }
}

/// What the words say of every call; `number` tells calls apart.
fn behave(number: u64) {
    match word("calls") {
        Some("trap") => panic!("it was told to trap in every call"),
        Some("third") if number.is_multiple_of(3) => panic!("it was told to trap in every third call"),
        Some("slow") => {
            let rounds = word("rounds").unwrap().parse().unwrap();
            black_box((0..rounds).fold(0_u64, |sum, n| black_box(sum.wrapping_mul(31).wrapping_add(n))));
        }
        _ => {}
    }
}

impl Guest for Swappable {
    fn add(n: u64) -> u64 {
        let mut state = STATE.lock().unwrap();
        behave(state.sum + n);
        state.sum += n;
        state.sum
    }

    fn twist(text: String) -> String {
        behave(text.len() as u64);
        match word("answers") {
            Some("otherwise") => text,
            _ => text.chars().rev().collect(),
        }
    }

    fn version() -> String {
        version().into()
    }
}

export!(Swappable);
