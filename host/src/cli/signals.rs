//! Being asked to end: by Ctrl-C or by a service manager.

use std::io;
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::assemble::Host;

/// Listens for the wish that this process ends. It hears it from the moment it is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen: from now on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Done when the process is asked to end.
    pub(crate) async fn ended(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Lets a host drain. Who asks a second time does not want to wait for that.
    pub(crate) async fn drain(&mut self, host: &Host) {
        let draining = host.drain();
        let mut draining = pin!(draining);
        tokio::select! {
            () = &mut draining => return,
            () = self.ended() => {}
        }
        tracing::info!("ending at once: running attempts are stopped");
        host.hurry();
        draining.await;
    }
}
