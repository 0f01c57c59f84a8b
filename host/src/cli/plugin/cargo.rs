//! Runs cargo for the author of a plugin, who sees what it says.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::Value;

use crate::cli::error::CliError;

/// What components are built for.
const TARGET: &str = "wasm32-wasip2";
/// The file of a package.
pub(super) const PACKAGE_FILE: &str = "Cargo.toml";

/// Builds a package as a component, and says which files came of it.
///
/// # Errors
///
/// [`CliError::Build`] when cargo or its target is missing, and when the package does not build: what
/// is wrong with it, cargo has said.
pub(super) fn build(folder: &Path, is_release: bool) -> Result<Vec<PathBuf>, CliError> {
    let mut cargo = command("cargo", folder);
    cargo.args(["build", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    if is_release {
        cargo.arg("--release");
    }
    let built = run(cargo.stdout(Stdio::piped()))?;
    if !built.status.success() {
        return Err(CliError::Build(why(folder)));
    }
    let told = String::from_utf8_lossy(&built.stdout);
    let artifacts = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = artifacts.flat_map(|artifact| {
        let files = artifact["filenames"].as_array().cloned().unwrap_or_default();
        files.into_iter().filter_map(|file| file.as_str().map(PathBuf::from))
    });
    Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm")).collect())
}

/// Runs the tests of a package. Whether they passed.
///
/// # Errors
///
/// [`CliError::Build`] when there is no cargo.
pub(super) fn test(folder: &Path) -> Result<bool, CliError> {
    // What is tested is told on standard error: standard output is for the result.
    let mut cargo = command("cargo", folder);
    let tested = run(cargo.args(["test", "--quiet"]).stdout(io::stderr()))?;
    Ok(tested.status.success())
}

fn command(program: &str, folder: &Path) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the author of a plugin asks for it on the command line; no request leads here"
    )]
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn run(cargo: &mut Command) -> Result<Output, CliError> {
    cargo.output().map_err(|source| {
        if source.kind() != io::ErrorKind::NotFound {
            return CliError::Io { what: "cargo".to_owned(), source };
        }
        CliError::Build(
            "there is no cargo, which builds plugins: https://rustup.rs says how to install it"
                .to_owned(),
        )
    })
}

/// Why a package did not build, where that is not its own fault.
fn why(folder: &Path) -> String {
    let mut rustc = command("rustc", folder);
    rustc.args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null());
    let libraries = rustc.output().ok().and_then(|told| String::from_utf8(told.stdout).ok());
    let is_missing = libraries
        .is_some_and(|path| Dir::open_ambient_dir(path.trim(), ambient_authority()).is_err());
    if is_missing {
        return format!("the target {TARGET} is not installed: `rustup target add {TARGET}`");
    }
    "it does not build: cargo says above why".to_owned()
}
