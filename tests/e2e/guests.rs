//! Some guests of `tests/guests`, each with a manifest that a test writes for it.
//!
//! What becomes of all of them is the self-test's: `host/src/cli/selftest/cases.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::host::{Ended, TestHost};

/// A program that a test lets the host run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest(&'static str);

pub(crate) const BEHAVES: Guest = Guest("behaves");
pub(crate) const CLAIMS_ENDLESS_TOKENS: Guest = Guest("claims_endless_tokens");
pub(crate) const CLEANS_UP: Guest = Guest("cleans_up");
pub(crate) const CALLS_UNLISTED_HOSTS: Guest = Guest("calls_unlisted_hosts");
pub(crate) const DIALS: Guest = Guest("dials");
pub(crate) const EATS_MEMORY: Guest = Guest("eats_memory");
pub(crate) const EXITS_WITH_FAILURE: Guest = Guest("exits_with_failure");
pub(crate) const FLOODS_A_CONNECTION: Guest = Guest("floods_a_connection");
pub(crate) const FLOODS_PROGRESS: Guest = Guest("floods_progress");
pub(crate) const FLOODS_STDOUT: Guest = Guest("floods_stdout");
pub(crate) const FLOODS_THE_LOG: Guest = Guest("floods_the_log");
pub(crate) const GOES_ON_AFTER_CANCEL: Guest = Guest("goes_on_after_cancel");
pub(crate) const GOES_ON_FROM_ITS_CHECKPOINT: Guest = Guest("goes_on_from_its_checkpoint");
pub(crate) const HIDES_BYTES_IN_REMOVED_FILES: Guest = Guest("hides_bytes_in_removed_files");
pub(crate) const LEAKS_SECRETS: Guest = Guest("leaks_secrets");
pub(crate) const LIES_IN_ITS_MANIFEST: Guest = Guest("lies_in_its_manifest");
pub(crate) const LINKS_OUT_OF_ITS_FOLDER: Guest = Guest("links_out_of_its_folder");
pub(crate) const MAKES_MANY_FILES: Guest = Guest("makes_many_files");
pub(crate) const NESTS_FOLDERS: Guest = Guest("nests_folders");
pub(crate) const LISTENS_FOR_CALLERS: Guest = Guest("listens_for_callers");
pub(crate) const NEVER_ENDS: Guest = Guest("never_ends");
pub(crate) const OPENS_A_SOCKET: Guest = Guest("opens_a_socket");
pub(crate) const OVERRUNS_ITS_QUOTA: Guest = Guest("overruns_its_quota");
pub(crate) const OVERSPENDS_ITS_BUDGET: Guest = Guest("overspends_its_budget");
pub(crate) const PANICS: Guest = Guest("panics");
pub(crate) const READS_OUTSIDE_ITS_GRANT: Guest = Guest("reads_outside_its_grant");
pub(crate) const READS_UNGRANTED_VARIABLES: Guest = Guest("reads_ungranted_variables");
pub(crate) const RECURSES_FOREVER: Guest = Guest("recurses_forever");
pub(crate) const SENDS_DATAGRAMS: Guest = Guest("sends_datagrams");
pub(crate) const SLEEPS_FOREVER: Guest = Guest("sleeps_forever");
pub(crate) const SPENDS_AGAIN_AND_AGAIN: Guest = Guest("spends_again_and_again");
pub(crate) const TALKS_AND_WAITS: Guest = Guest("talks_and_waits");
pub(crate) const USES_FILES: Guest = Guest("uses_files");

impl Guest {
    /// What tasks call it.
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }

    /// The bytes of its component, as the build script of the host left them.
    pub(crate) fn component(self) -> Vec<u8> {
        let folder = Path::new(env!("OUT_DIR")).join("guests");
        fs::read(folder.join(format!("{}.wasm", self.0))).unwrap()
    }

    /// Makes a folder with the component and a manifest that ends with `asks`.
    pub(crate) fn folder(self, asks: &str) -> TempDir {
        plugin_folder(self.0, &self.component(), asks)
    }

    /// Loads it with a manifest that ends with `asks`.
    #[track_caller]
    pub(crate) fn load(self, host: &TestHost, asks: &str) {
        self.try_load(host, asks).succeeds();
    }

    /// Tries to load it with a manifest that ends with `asks`.
    pub(crate) fn try_load(self, host: &TestHost, asks: &str) -> Ended {
        let folder = self.folder(asks);
        host.run(&["load", path(&folder)])
    }
}

/// Makes a folder with a component and a manifest that ends with `asks`.
pub(crate) fn plugin_folder(name: &str, component: &[u8], asks: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let manifest = format!(
        "name: {name}\nversion: 1.0.0\ndescription: A guest.\ncomponent: {name}.wasm\n{asks}\n"
    );
    fs::write(folder.path().join("plugin.yaml"), manifest).unwrap();
    fs::write(folder.path().join(format!("{name}.wasm")), component).unwrap();
    folder
}

/// The path of a folder as an argument.
pub(crate) fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

/// A cargo for components, which leaves what it builds below this target directory.
///
/// What the outer build was told about the host's own machine does not reach it.
pub(crate) fn cargo(target_dir: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.env("CARGO_TARGET_DIR", target_dir);
    let told = ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
    for name in told.into_iter().chain(["CARGO_BUILD_TARGET"]) {
        cargo.env_remove(name);
    }
    cargo
}

/// Lets a program run the cargo of this machine, which builds below this target directory.
pub(crate) fn with_cargo(command: &mut Command, target_dir: &Path) {
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from).unwrap_or_default();
    for (name, usual) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        command.env(name, std::env::var_os(name).unwrap_or_else(|| home.join(usual).into()));
    }
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(std::env::var_os("RUSTUP_TOOLCHAIN").map(|name| ("RUSTUP_TOOLCHAIN", name)));
    command.env("CARGO_TARGET_DIR", target_dir);
}

/// Runs a cargo and fails with its words when it does.
#[track_caller]
pub(crate) fn succeed(cargo: &mut Command) {
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
