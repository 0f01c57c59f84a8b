//! A mail server that others wrote, aiosmtpd, for as long as a test runs.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::host::{project, target_dir};

/// The user that servers know.
pub(crate) const USER: &str = "shop@example.com";

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Clear,
    StartTls,
    Tls,
}

impl Mode {
    /// The word for it in inputs.
    pub(crate) const fn security(self) -> &'static str {
        match self {
            Self::Clear => "none",
            Self::StartTls => "starttls",
            Self::Tls => "tls",
        }
    }

    const fn argument(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::StartTls | Self::Tls => self.security(),
        }
    }
}

/// A server on a free port of 127.0.0.1, until this is dropped.
pub(crate) struct MailServer {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u64,
}

impl MailServer {
    /// Starts a server that takes mails from [`USER`] with this password, or from everybody.
    ///
    /// None when it is not installed, which is said aloud. On a machine that checks changes, which
    /// sets `CI`, that is a failure.
    pub(crate) fn start(mode: Mode, password: Option<&str>) -> Option<Self> {
        let python = python()?;
        let here = project().join("tests");
        let certificate = |name: &str| here.join("certificates").join(name);
        let mut command = Command::new(python);
        command.args(["-W", "ignore"]).arg(here.join("e2e/mail_server.py")).arg(mode.argument());
        command.args([certificate("server.pem"), certificate("server.key.pem")]);
        command.args(password.iter().flat_map(|password| [USER, password]));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, said, port: 0 };
        server.port = server.next()["port"].as_u64().unwrap();
        Some(server)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u64 {
        self.port
    }

    /// Its place under this name, as a grant names it.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{name}:{}", self.port)
    }

    /// The next mail that it took.
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.said.read_line(&mut line).unwrap() > 0, "the mail server ended");
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it. Fails when it took a mail that was not looked at.
    #[track_caller]
    pub(crate) fn took_no_more(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.said.read_line(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The Python that has it.
fn python() -> Option<PathBuf> {
    let python = target_dir().join("aiosmtpd/bin/python");
    if python.exists() {
        return Some(python);
    }
    let missing = format!(
        "aiosmtpd is not installed (python3 -m venv {0} && {0}/bin/pip install aiosmtpd==1.4.6)",
        target_dir().join("aiosmtpd").display()
    );
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    // Past what the test runner captures.
    let said = writeln!(std::io::stderr(), "\nSKIPPED what needs a mail server: {missing}\n");
    said.unwrap();
    None
}
