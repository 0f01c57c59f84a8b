//! Builds the first-party plugins and the guests of the benchmarks from source, so that the binary
//! can hold them.
//!
//! For the plugins, it runs a second cargo for `wasm32-wasip2` in a target directory of its own, and adds that
//! target with rustup when it is missing.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told everything by its environment, and runs cargo and rustup; no \
              request can reach it"
)]

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The plugins, by the name of their package. `noop_executor` is there for the benchmarks.
const PLUGINS: [&str; 4] =
    ["aggregate_results_executor", "noop_executor", "rest_executor", "transform_executor"];
/// The hostile guests of the benchmarks, by the name of their file.
const GUESTS: [&str; 4] = ["log_flood", "memory_bomb", "stdout_flood", "tight_loop"];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("not run by cargo")?);
    let workspace = package.parent().ok_or("the package is not inside the workspace")?;
    for source in [
        "plugins",
        "sdk/src",
        "sdk/macros/src",
        "sdk/Cargo.toml",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("not run by cargo")?);
    let target_dir = target_dir(&out)?;
    if !has_target()? {
        add_target()?;
    }
    build(workspace, &target_dir)?;
    let built = target_dir.join(TARGET).join(PROFILE);
    for plugin in PLUGINS {
        let component = built.join(format!("{plugin}.wasm"));
        std::fs::copy(&component, out.join(format!("{plugin}.wasm")))?;
    }
    let guests = package.join("src/cli/bench/guests");
    println!("cargo::rerun-if-changed={}", guests.display());
    for guest in GUESTS {
        let component = wat::parse_file(guests.join(format!("{guest}.wat")))?;
        std::fs::write(out.join(format!("{guest}.wasm")), component)?;
    }
    Ok(())
}

/// `target/plugins`, found from `target/PROFILE/build/PACKAGE-HASH/out`.
///
/// One directory for all profiles of the host: a plugin is built the same way for each.
fn target_dir(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let build = out.ancestors().find(|folder| folder.ends_with("build"));
    let profile = build.and_then(Path::parent).ok_or("OUT_DIR has no `build` in it")?;
    Ok(profile.parent().ok_or("OUT_DIR is too short")?.join("plugins"))
}

fn build(workspace: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("not run by cargo")?);
    cargo.current_dir(workspace).args([
        "build",
        "--locked",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
    ]);
    cargo.arg("--target-dir").arg(target_dir);
    for plugin in PLUGINS {
        cargo.args(["--package", plugin]);
    }
    // What the outer build was told about the host's own machine must not reach the inner one.
    for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped_paths(workspace).join("\u{1f}"));
    if cargo.status()?.success() {
        return Ok(());
    }
    Err(format!("the plugins do not build for {TARGET}: see above").into())
}

/// Flags that keep the paths of this machine out of the plugins, which name their source files when
/// they panic. The same source then gives the same bytes, and the same digest, wherever it is built.
fn remapped_paths(workspace: &Path) -> Vec<String> {
    let own = (workspace.to_owned(), "apflow-host");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let registry = home.map(|home| (home.join("registry/src"), "registry"));
    std::iter::once(own)
        .chain(registry)
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect()
}

/// Whether the compiler has a standard library for the target.
fn has_target() -> Result<bool, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").ok_or("not run by cargo")?;
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

fn add_target() -> Result<(), Box<dyn Error>> {
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "the Rust target {TARGET} is missing: run `rustup target add {TARGET}`, or install \
             your distribution's package for it"
        )
        .into()),
    }
}
