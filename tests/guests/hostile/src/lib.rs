//! A guest that tries what it may not.

wit_bindgen::generate!({ path: "wit" });

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

struct Hostile;

impl Guest for Hostile {
    fn behaves(text: String) -> String {
        text
    }

    fn spins() {
        loop {
            black_box(());
        }
    }

    fn spins_in_a_host_call() {
        loop {
            black_box(Instant::now());
        }
    }

    fn sleeps(ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn allocates() {
        let mut kept = Vec::new();
        loop {
            kept.push(vec![1_u8; 1 << 20]);
            black_box(&kept);
        }
    }

    fn recurses(depth: u64) -> u64 {
        fn deeper(depth: u64) -> u64 {
            let frame = black_box([depth; 16]);
            if depth == 0 { 0 } else { deeper(depth - 1) + frame[3] }
        }
        deeper(depth)
    }

    fn panics(message: String) {
        panic!("{message}");
    }

    fn exits(status: u8) {
        std::process::exit(status.into());
    }

    fn returns_bytes(count: u32) -> Vec<u8> {
        vec![7; count as usize]
    }

    fn returns_text(count: u32) -> String {
        "x".repeat(count as usize)
    }

    fn returns_rows(count: u32) -> Vec<Row> {
        (0..count)
            .map(|n| Row {
                name: "a row".into(),
                value: n.into(),
            })
            .collect()
    }

    fn floods_the_log(count: u64) {
        let line = [b'x'; 1024];
        let mut left = count;
        while left > 0 {
            let now = left.min(1024);
            std::io::stdout().write_all(&line[..now as usize]).unwrap();
            left -= now;
        }
        std::io::stdout().flush().unwrap();
    }

    fn keeps_handles(count: u32) -> u32 {
        #[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.2.0")]
        unsafe extern "C" {
            #[link_name = "subscribe-duration"]
            fn subscribe_duration(ns: u64) -> i32;
        }
        // SAFETY: the signature is the canonical one of wasi:clocks; the handle is kept on purpose.
        (0..count)
            .map(|n| unsafe { subscribe_duration(n.into()) } as u32)
            .max()
            .unwrap_or(0)
    }

    fn looks_around() -> Vec<String> {
        let environment = std::env::vars().map(|(name, value)| format!("{name}={value}"));
        let folders = ["/", ".", "/etc/passwd"]
            .into_iter()
            .filter(|path| std::fs::metadata(path).is_ok())
            .map(String::from);
        let mut input = String::new();
        let _ = std::io::stdin().read_line(&mut input);
        environment
            .chain(std::env::args())
            .chain(folders)
            .chain((!input.is_empty()).then_some(input))
            .collect()
    }

    fn works(rounds: u64) -> u64 {
        (0..rounds).fold(0_u64, |sum, n| black_box(sum.wrapping_mul(31).wrapping_add(n)))
    }
}

export!(Hostile);
