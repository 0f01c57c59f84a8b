//! The guests of `tests/guests`, built once, each with a manifest that a test writes for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::host::{Ended, TestHost, project, target_dir};

/// A program that a test lets the host run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest(&'static str);

/// One constant a guest: a guest that no test uses is a warning.
macro_rules! guests {
    ($($constant:ident = $name:literal;)*) => {
        $(pub(crate) const $constant: Guest = Guest($name);)*

        /// The name of every guest.
        const NAMES: &[&str] = &[$($name),*];
    };
}

guests! {
    BEHAVES = "behaves";
    CALLS_UNLISTED_HOSTS = "calls_unlisted_hosts";
    EATS_MEMORY = "eats_memory";
    EXITS_WITH_FAILURE = "exits_with_failure";
    FLOODS_STDERR = "floods_stderr";
    FLOODS_STDOUT = "floods_stdout";
    LEAKS_SECRETS = "leaks_secrets";
    LIES_IN_ITS_MANIFEST = "lies_in_its_manifest";
    MAKES_DO_WITH_LESS = "makes_do_with_less";
    NEVER_ENDS = "never_ends";
    OPENS_A_SOCKET = "opens_a_socket";
    PANICS = "panics";
    READS_OUTSIDE_ITS_GRANT = "reads_outside_its_grant";
    READS_UNGRANTED_VARIABLES = "reads_ungranted_variables";
    RECURSES_FOREVER = "recurses_forever";
    SLEEPS_FOREVER = "sleeps_forever";
    WRITES_TO_ITS_INPUT = "writes_to_its_input";
}

impl Guest {
    /// What tasks call it.
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }

    /// The bytes of its component.
    pub(crate) fn component(self) -> Vec<u8> {
        fs::read(built().join(format!("{}.wasm", self.0))).unwrap()
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

/// Runs a cargo and fails with its words when it does.
#[track_caller]
pub(crate) fn succeed(cargo: &mut Command) {
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Where the guests are, built on the first call. It shares the directory of the plugins.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = target_dir().join("plugins");
        let mut cargo = cargo(&target);
        cargo.current_dir(project()).args(["build", "--package", "apflow-guests"]);
        succeed(cargo.args(["--target", "wasm32-wasip2", "--profile", "plugin", "--locked"]));
        target.join("wasm32-wasip2/plugin")
    })
}

#[test]
fn every_guest_has_a_constant() {
    let files = fs::read_dir(project().join("tests/guests/src/bin")).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected: Vec<String> = NAMES.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names, expected);
}
