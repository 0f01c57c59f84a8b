//! A small TCP server that answers each line with `pong`, or stays mute, and counts its callers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server on a free port of 127.0.0.1, until the test process ends.
pub(crate) struct Echo {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Echo {
    /// Starts a server that answers.
    pub(crate) fn start() -> Self {
        Self::answering(b"pong\n")
    }

    /// Starts a server that listens and says nothing.
    pub(crate) fn mute() -> Self {
        Self::answering(b"")
    }

    fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.fetch_add(1, Ordering::SeqCst);
                // A client that goes away early is no fault of the server.
                std::thread::spawn(move || drop(serve(stream, answer)));
            }
        });
        Self { address, calls }
    }

    /// Its port under this name.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{name}:{}", self.address.port())
    }

    /// How many connections came so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        stream.write_all(answer)?;
        line.clear();
    }
    Ok(())
}
