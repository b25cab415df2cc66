//! Components made during the test run, from Rust or from text.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The folder that holds `release/`, wherever it was put.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let release = program.ancestors().find(|folder| folder.ends_with("release"));
    release
        .and_then(Path::parent)
        .expect("tests run in the release profile")
        .to_path_buf()
}

/// The component of a Rust guest: `values`, `hostile`, `echo`, `serve`, `witness`, `stateful`, `eventful`, `keyvalue`,
/// `swappable`, `latecomer`, `faulty`. All are built at the first ask.
pub fn rust(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let guests = [
        "values",
        "hostile",
        "echo",
        "serve",
        "witness",
        "stateful",
        "eventful",
        "keyvalue",
        "swappable",
        "latecomer",
        "faulty",
    ];
    let folder = BUILT.get_or_init(|| build(&guests.map(|guest| format!("kinetic-guest-{guest}"))));
    std::fs::read(folder.join(format!("kinetic_guest_{name}.wasm"))).unwrap()
}

/// The component of one of the runtime's own subsystems: `silver_gate`, `stream_buffer`. All are built at the first ask.
pub fn subsystem(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| build(&["kinetic-silver-gate".into(), "kinetic-stream-buffer".into()]));
    std::fs::read(folder.join(format!("kinetic_{name}.wasm"))).unwrap()
}

/// Builds packages as components; gives the folder they are in.
fn build(packages: &[String]) -> PathBuf {
    let target = target().join("guests");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(flags);
    }
    cargo
        .current_dir(root())
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "guest"]);
    for package in packages {
        cargo.args(["-p", package]);
    }
    let status = cargo.arg("--target-dir").arg(&target).status().expect("cargo starts");
    assert!(status.success(), "the guests do not build");
    target.join("wasm32-wasip2/guest")
}

/// A component from text.
pub fn text(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

/// An echo (`echo: func(text: string) -> string`) with that much code and data that a call never touches.
pub fn padded_echo(code_bytes: usize, data_bytes: usize) -> Vec<u8> {
    // One such function is about 711 bytes of wasm.
    let body: String = (0..140)
        .map(|n| format!("i64.const {} i64.mul ", 1_000_003 + n * 7))
        .collect();
    let function = |n| format!("(func (param i64) (result i64) local.get 0 i64.const {n} i64.add {body})");
    let functions: String = (0..code_bytes / 711).map(function).collect();
    let data = "0123456789abcdef".repeat(data_bytes / 16);
    let pages = 2 + data_bytes.div_ceil(65_536);
    text(&format!(
        r#"(component
            (core module $m
                (memory (export "memory") {pages})
                (global $top (mut i32) (i32.const {top}))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                    (global.set $top (i32.add (local.get $at) (local.get 3)))
                    (block $fits
                        (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
                        (if (i32.eq (i32.const -1) (memory.grow
                                (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536)))))
                            (then unreachable)))
                    (local.get $at))
                (func (export "echo") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0))
                    (i32.store (i32.const 20) (local.get 1))
                    (i32.const 16))
                (data (i32.const 65536) "{data}")
                {functions})
            (core instance $i (instantiate $m))
            (func (export "echo") (param "text" string) (result string)
                (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
        top = 65_536 * (pages - 1),
    ))
}

/// The same component with a custom section before everything else, which nobody reads: these bytes, and so many more that
/// cannot be packed any smaller.
pub fn with_padding(component: &[u8], first: &[u8], more: usize) -> Vec<u8> {
    const PREAMBLE_BYTES: usize = 8;
    let mut section = vec![7];
    section.extend_from_slice(b"padding");
    section.extend_from_slice(first);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    section.extend((0..more).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }));
    let (preamble, sections) = component.split_at(PREAMBLE_BYTES);
    let length = leb128(section.len());
    [preamble, &[0][..], &length, &section, sections].concat()
}

/// A number as WebAssembly writes lengths.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
