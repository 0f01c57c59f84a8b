//! A server on this machine for the guests to call: it answers badly, slowly, or without an end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The most of a request that is looked at: its first line is enough.
const HEAD_BYTES_MAX: usize = 4 << 10;
/// How much is read or written at once.
const CHUNK_BYTES: usize = 64 << 10;
/// How long a slow answer waits between two bytes.
const DRIP: Duration = Duration::from_millis(20);
const OK: &str = "HTTP/1.1 200 OK\r\n";

/// A server that is running. It ends when it is dropped.
pub(super) struct Peer {
    address: SocketAddr,
    hits: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl Peer {
    /// Starts to answer on a free port. `elsewhere` is where its redirect leads.
    pub(super) async fn start(elsewhere: Option<String>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, hits) = (listener.local_addr()?, Arc::<AtomicU64>::default());
        let (counted, elsewhere) = (Arc::clone(&hits), elsewhere.unwrap_or_default());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let elsewhere = elsewhere.clone();
                // A guest that goes away in the middle of an answer is what this server is for.
                tokio::spawn(async move { drop(answer(stream, &elsewhere).await) });
            }
        });
        Ok(Self { address, hits, serving })
    }

    /// Where it is, as an address and a port.
    pub(super) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections it took.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, elsewhere: &str) -> io::Result<()> {
    let mut head = vec![0; HEAD_BYTES_MAX];
    let read = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..read]);
    match head.split(' ').nth(1).unwrap_or_default() {
        "/redirect" => {
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await
        }
        "/silent" => swallow(stream).await,
        "/endless" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).await?;
            repeat(stream, &vec![b'x'; CHUNK_BYTES], Duration::ZERO).await
        }
        "/slow" => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).await?;
            repeat(stream, b"x", DRIP).await
        }
        "/headers" => {
            stream.write_all(OK.as_bytes()).await?;
            repeat(stream, &b"X-Many: one more\r\n".repeat(1 << 10), Duration::ZERO).await
        }
        _ => {
            let answer = format!("{OK}Content-Length: 2\r\nConnection: close\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await
        }
    }
}

/// Writes the same bytes until nobody reads them.
async fn repeat(mut stream: TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
        tokio::time::sleep(pause).await;
    }
}

/// Reads all that comes, and says nothing.
async fn swallow(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK_BYTES];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}
