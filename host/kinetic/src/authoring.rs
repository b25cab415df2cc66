//! Turning a Rust package into a component that keeps its documentation; shared by `kinetic build` and this crate's own build script.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use wit_parser::decoding::DecodedWasm;
use wit_parser::{PackageMetadata, Resolve, WorldId, WorldKey};

/// The Rust target that makes components.
pub const TARGET: &str = "wasm32-wasip2";

/// Whether the compiler at hand has the standard library for [`TARGET`].
pub fn target_is_installed(rustc: &str) -> bool {
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let Ok(answer) = asked else { return false };
    Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir()
}

/// A cargo command that builds for [`TARGET`] whatever build it is started from.
pub fn cargo(cargo: &str) -> Command {
    let mut command = Command::new(cargo);
    command.arg("build").args(["--target", TARGET]);
    // Flags and targets meant for the machine the outer build is for would break a component.
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
    ] {
        command.env_remove(name);
    }
    command
}

/// The component with the comments of its WIT in a `package-docs` custom section, which WIT tools and the host read.
///
/// The compiler drops comments; people and models need them as descriptions. The section can speak only of what the
/// component's one world, called `root` in its binary form, holds itself; tools refuse a component whose section names
/// anything else. Comments in interfaces that the world exports by their package's name therefore stay behind.
///
/// # Errors
/// What the WIT parser says about the folder or the component.
pub fn with_docs(component: &[u8], wit: &Path) -> Result<Vec<u8>, String> {
    let flat = |error: anyhow::Error| format!("{error:#}");
    let mut source = Resolve::default();
    let (package, _) = source.push_dir(wit).map_err(flat)?;
    let world = source.select_world(&[package], None).map_err(flat)?;
    let name = source
        .worlds
        .get(world)
        .map(|world| world.name.clone())
        .unwrap_or_default();
    let all = PackageMetadata::extract(&source, package).encode().map_err(flat)?;
    // The first byte is the section's version.
    let all: Value = serde_json::from_slice(all.get(1..).unwrap_or_default()).map_err(|error| error.to_string())?;
    let (binary, root) = wit_parser::decoding::decode(component)
        .and_then(world_of)
        .map_err(flat)?;
    let Some(root) = binary.worlds.get(root) else {
        return Ok(component.to_vec());
    };
    let there = |name: &str| {
        let key = WorldKey::Name(name.to_string());
        root.imports.contains_key(&key) || root.exports.contains_key(&key)
    };
    let mut docs = Map::new();
    let members = all
        .get("worlds")
        .and_then(|worlds| worlds.get(&name))
        .and_then(Value::as_object);
    for (part, items) in members
        .into_iter()
        .flatten()
        .filter(|(part, _)| DOCUMENTED.contains(&part.as_str()))
    {
        let kept: Map<_, _> = items
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| there(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        docs.insert(part.clone(), kept.into());
    }
    if let Some(text) = members.and_then(|members| members.get("docs")) {
        docs.insert("docs".into(), text.clone());
    }
    let bytes = append(component, &json!({ "worlds": { "root": docs } }));
    match wit_parser::decoding::decode(&bytes) {
        Ok(_) => Ok(bytes),
        // An inline interface may have lost a type that nothing uses: a component without comments is better than none.
        Err(_) => Ok(component.to_vec()),
    }
}

/// The parts of a world's documentation that are about the world's own items.
const DOCUMENTED: [&str; 5] = ["funcs", "func_exports", "types", "interfaces", "interface_exports"];

fn world_of(decoded: DecodedWasm) -> anyhow::Result<(Resolve, WorldId)> {
    match decoded {
        DecodedWasm::Component(resolve, world) => Ok((resolve, world)),
        DecodedWasm::WitPackage(..) => anyhow::bail!("it is a WIT package without code"),
    }
}

/// Puts the documentation behind everything else, as a custom section of the section's version 1.
fn append(component: &[u8], docs: &Value) -> Vec<u8> {
    let docs = docs.to_string();
    let mut section = Vec::new();
    leb128(&mut section, PackageMetadata::SECTION_NAME.len());
    section.extend_from_slice(PackageMetadata::SECTION_NAME.as_bytes());
    section.push(1);
    section.extend_from_slice(docs.as_bytes());
    let mut bytes = component.to_vec();
    bytes.push(0);
    leb128(&mut bytes, section.len());
    bytes.extend_from_slice(&section);
    bytes
}

/// Unsigned LEB128, as lengths are written in WebAssembly binaries.
fn leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        // Masked to seven bits, so nothing is cut off.
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_travel_in_a_section_that_wit_tools_read_and_what_the_component_lacks_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let wit = "package a:b;\n/// The world.\nworld w {\n  /// Unused.\n  record lost { x: u32 }\n  \
                   /// Adds.\n  export add: func(a: u32) -> u32;\n}\n";
        std::fs::write(folder.path().join("world.wit"), wit).unwrap();
        let component = add_component();
        let bytes = with_docs(&component, folder.path()).unwrap();
        assert!(bytes.len() > component.len());
        let (resolve, world) = world_of(wit_parser::decoding::decode(&bytes).unwrap()).unwrap();
        let world = &resolve.worlds[world];
        assert_eq!(world.docs.contents.as_deref(), Some("The world."));
        let Some(wit_parser::WorldItem::Function(add)) = world.exports.get(&WorldKey::Name("add".into())) else {
            panic!("no add")
        };
        assert_eq!(add.docs.contents.as_deref(), Some("Adds."));
    }

    /// `(component (core module (func (export "add") (param i32) (result i32) local.get 0)) ...)` with `add` lifted.
    fn add_component() -> Vec<u8> {
        let text = r#"(component
            (core module $m (func (export "add") (param i32) (result i32) local.get 0))
            (core instance $i (instantiate $m))
            (func (export "add") (param "a" u32) (result u32) (canon lift (core func $i "add"))))"#;
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn lengths_are_written_in_seven_bit_groups() {
        let mut bytes = Vec::new();
        leb128(&mut bytes, 624_485);
        leb128(&mut bytes, 127);
        assert_eq!(bytes, [0xe5, 0x8e, 0x26, 0x7f]);
    }
}
