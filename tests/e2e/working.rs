//! A worker: a host that runs what others take in.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::host::TestHost;

/// A worker, until this is dropped.
pub(crate) struct Working<'host> {
    child: Child,
    /// Its folders are there as long as it works in them.
    _host: &'host TestHost,
}

impl<'host> Working<'host> {
    /// Starts `worker` and waits until it works.
    pub(crate) fn start(host: &'host TestHost) -> Self {
        let mut command = host.command();
        command.args(["worker", "--json", "--log", "warn"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !said.ends_with("}\n") {
            assert!(stdout.read_line(&mut said).unwrap() > 0, "the worker ended: {said}");
        }
        Self { child, _host: host }
    }

    /// Kills it as a power cut would, without a word.
    pub(crate) fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
