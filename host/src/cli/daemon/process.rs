//! The process of a daemon: started, and told to end.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal};

/// Starts this program in the background, with its output in a log.
#[expect(clippy::disallowed_types, reason = "a process is given its log as an open file")]
pub(super) fn start(arguments: &[String], log: std::fs::File) -> io::Result<Child> {
    let program = program()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator asks for a daemon on the command line; no request leads here"
    )]
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log);
    command.spawn()
}

/// This program. Its own name for it is of the process that reads it, so it is looked up here.
fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// A process, which stays the same one although its number may be given to another.
pub(super) struct Process {
    #[cfg(target_os = "linux")]
    handle: rustix::fd::OwnedFd,
    #[cfg(not(target_os = "linux"))]
    pid: Pid,
}

impl Process {
    /// The process of this number. None when there is none any more.
    pub(super) fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{PidfdFlags, pidfd_open};
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(handle) => Ok(Some(Self { handle })),
                Err(rustix::io::Errno::SRCH) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Some(Self { pid }))
    }

    /// Asks it to end. A second time it ends at once.
    pub(super) fn end(&self) -> io::Result<()> {
        self.send(Signal::TERM)
    }

    /// Ends it, whatever it does.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        let sent = rustix::process::pidfd_send_signal(&self.handle, signal);
        #[cfg(not(target_os = "linux"))]
        let sent = rustix::process::kill_process(self.pid, signal);
        match sent {
            // It has ended by itself.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
