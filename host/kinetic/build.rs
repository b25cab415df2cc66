//! Builds the example capsules and the runtime's own parts as components, so that the binary carries them and a fresh
//! host has something to serve.

// The command line uses more of it than this script does.
#[allow(dead_code)]
#[path = "src/authoring.rs"]
mod authoring;

use std::path::{Path, PathBuf};

/// The folders under `components/examples`; their packages are called `kinetic-example-<folder>`.
const EXAMPLES: [&str; 4] = ["redact", "chunk", "profile", "fetch"];

/// The runtime's own parts: folders under `components`; their packages are called `kinetic-<folder>`.
const PARTS: [&str; 2] = ["stream-buffer", "silver-gate"];

fn main() -> Result<(), String> {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let workspace = workspace
        .canonicalize()
        .map_err(|error| format!("{}: {error}", workspace.display()))?;
    for watched in ["components", "wit", "sdk/rust/src", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    println!(
        "cargo::rustc-env=KINETIC_WASMTIME_VERSION={}",
        wasmtime_version(&workspace)?
    );
    if !authoring::target_is_installed(&variable("RUSTC")?) {
        return Err(format!(
            "the example capsules need Rust's target {0}: rustup target add {0}",
            authoring::TARGET
        ));
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target = target_folder(&out)?.join("guests");
    build(&workspace, &target)?;

    let mut list = "&[\n".to_string();
    for name in EXAMPLES {
        let folder = workspace.join("components/examples").join(name);
        let built = target
            .join(authoring::TARGET)
            .join("guest")
            .join(format!("kinetic_example_{name}.wasm"));
        let component = std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
        let component = authoring::with_docs(&component, &folder.join("wit"))?;
        let kept = out.join(format!("{name}.wasm"));
        std::fs::write(&kept, component).map_err(|error| format!("{}: {error}", kept.display()))?;
        list.push_str(&entry(&folder.join("manifest.json"), &kept));
    }
    list.push_str("]\n");
    std::fs::write(out.join("embedded.rs"), list).map_err(|error| error.to_string())?;
    embed_parts(&workspace, &target, &out)
}

fn embed_parts(workspace: &Path, target: &Path, out: &Path) -> Result<(), String> {
    let mut list = "&[\n".to_string();
    for name in PARTS {
        let built = target
            .join(authoring::TARGET)
            .join("guest")
            .join(format!("kinetic_{}.wasm", name.replace('-', "_")));
        let kept = out.join(format!("{name}.wasm"));
        std::fs::copy(&built, &kept).map_err(|error| format!("{}: {error}", built.display()))?;
        let manifest = workspace.join("components").join(name).join("manifest.json");
        list.push_str(&entry(&manifest, &kept));
    }
    list.push_str("]\n");
    std::fs::write(out.join("parts.rs"), list).map_err(|error| error.to_string())
}

/// A line of a list. Paths as text in quotes, so that one with a backslash or a quote stays one.
fn entry(manifest: &Path, component: &Path) -> String {
    let [manifest, component] = [manifest, component].map(|path| path.display().to_string());
    format!("    Embedded {{ manifest: include_str!({manifest:?}), component: include_bytes!({component:?}) }},\n")
}

/// The engine's version, as the lock pins it, for `kinetic --version`.
fn wasmtime_version(workspace: &Path) -> Result<String, String> {
    let path = workspace.join("Cargo.lock");
    let lock = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"wasmtime\"").skip(1);
    let version = lines
        .next()
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version
        .map(ToString::to_string)
        .ok_or_else(|| format!("{} has no wasmtime", path.display()))
}

fn build(workspace: &Path, target: &Path) -> Result<(), String> {
    let mut cargo = authoring::cargo(&variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["--profile", "guest", "--target-dir"])
        .arg(target);
    for name in EXAMPLES {
        cargo.args(["-p", &format!("kinetic-example-{name}")]);
    }
    for name in PARTS {
        cargo.args(["-p", &format!("kinetic-{name}")]);
    }
    let status = cargo
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("the components that the binary carries did not build; see above".into())
    }
}

/// `<target>/<profile>/build/<package>-<hash>/out` lies four folders below the target folder, five with `--target`.
fn target_folder(out: &Path) -> Result<PathBuf, String> {
    let tagged = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged
        .or_else(|| out.ancestors().nth(4))
        .map(Path::to_path_buf)
        .ok_or_else(|| "OUT_DIR is too short".into())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
