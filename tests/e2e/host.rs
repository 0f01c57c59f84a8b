//! A host with folders of its own, used through its command line.

use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::postgres::{make_database, run_in};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_apflow-host");

/// The root of the project.
pub(crate) fn project() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap()
}

/// Where cargo builds, found from where it left the program.
pub(crate) fn target_dir() -> &'static Path {
    Path::new(PROGRAM).ancestors().nth(2).unwrap()
}

/// A host with folders of its own.
pub(crate) struct TestHost {
    folder: TempDir,
    /// Where its database is. None for a file in its data directory.
    database_url: Option<String>,
}

impl TestHost {
    /// A host whose first start was long ago: its code cache has the plugins that come with it.
    pub(crate) fn new() -> Self {
        static STARTED: OnceLock<TestHost> = OnceLock::new();
        let started = STARTED.get_or_init(|| {
            let host = Self::fresh();
            host.run(&["plugins", "list"]).succeeds();
            host
        });
        let host = Self::fresh();
        copy(&started.data(), &host.data());
        // As the host makes it.
        fs::set_permissions(host.data(), fs::Permissions::from_mode(0o700)).unwrap();
        host
    }

    /// A host that was never started.
    pub(crate) fn fresh() -> Self {
        Self { folder: TempDir::new().unwrap(), database_url: None }
    }

    /// A host on each database there is.
    pub(crate) fn on_each_database() -> impl Iterator<Item = Self> {
        let server = make_database();
        [Some(Self::new()), server.map(|url| Self::new().with_database(&url))].into_iter().flatten()
    }

    /// The same host with its database elsewhere. On a server, what a host that was killed left is
    /// taken up after the shortest lease there is.
    pub(crate) fn with_database(self, url: &str) -> Self {
        Self { database_url: Some(url.to_owned()), ..self }.with_settings("lease_seconds: 3\n")
    }

    /// The same host with this `config.yaml`.
    pub(crate) fn with_settings(self, settings: &str) -> Self {
        fs::create_dir_all(self.config_file().parent().unwrap()).unwrap();
        fs::write(self.config_file(), settings).unwrap();
        let owner_alone = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.config_file(), owner_alone).unwrap();
        self
    }

    /// Changes its database behind its back. Each statement is a transaction of its own.
    pub(crate) fn spoil(&self, statements: &[&'static str]) {
        if let Some(url) = &self.database_url {
            return run_in(url, statements);
        }
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg("-bail").arg(self.data().join("apflow.db"));
        // See CONTRIBUTING.md for this program. The host may be about to close the file.
        sqlite.args(["-cmd", ".timeout 10000"]).args(statements);
        let done = sqlite.status().unwrap();
        assert!(done.success(), "{statements:?}");
    }

    /// Whether its database is on a server.
    pub(crate) fn is_on_a_server(&self) -> bool {
        self.database_url.is_some()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its settings.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("config/config.yaml")
    }

    /// Runs a verb to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "", &[])
    }

    /// Runs a verb to its end, with this standard input and these environment variables.
    pub(crate) fn run_with(
        &self,
        arguments: &[&str],
        stdin: &str,
        environment: &[(&str, &str)],
    ) -> Ended {
        let mut command = self.command();
        command.args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A host that does not read its input may be gone already.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The program with this host's folders, in the root of the project.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(project())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("APFLOW_DATA_DIR", self.data())
            .env("APFLOW_CONFIG_DIR", self.folder.path().join("config"));
        command.envs(self.database_url.iter().map(|url| ("DATABASE_URL", url)));
        command
    }

    /// The names of the plugins that were loaded.
    pub(crate) fn loaded(&self) -> Vec<String> {
        let listed = self.run(&["plugins", "list", "--json"]).succeeds().json();
        let plugins = listed["plugins"].as_array().unwrap().iter();
        let loaded = plugins.filter(|plugin| plugin["builtin"] == false);
        loaded.map(|plugin| plugin["manifest"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The jobs that were accepted, newest first.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let listed = self.run(&["jobs", "list", "--limit", "1000", "--json"]).succeeds().json();
        listed["jobs"].as_array().unwrap().clone()
    }

    /// Fails when this host took in any plugin or job.
    pub(crate) fn holds_nothing(&self) {
        assert_eq!(self.loaded(), [""; 0]);
        assert_eq!(self.jobs(), [Value::Null; 0]);
        let components = fs::read_dir(self.data().join("plugins")).unwrap();
        assert_eq!(components.count(), 0, "a component was kept");
    }
}

/// How a verb ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl Ended {
    /// Fails unless it went well.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.exits(0)
    }

    /// Fails unless it ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Fails unless standard error has each of these texts.
    #[track_caller]
    pub(crate) fn says<T: AsRef<str> + Debug>(self, texts: &[T]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text.as_ref()), "{text:?} is not in:\n{}", self.stderr);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The error that `--json` puts on standard error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let error: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        error["error"].clone()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let beside = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &beside);
        } else {
            fs::copy(entry.path(), beside).unwrap();
        }
    }
}
