//! A small HTTP server that answers as a test says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

/// The longest that a test waits for a request.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// For example `GET`.
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Empty when there was none.
    pub(crate) body: Vec<u8>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// An answer with this status and nothing in it.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A good answer with JSON.
    pub(crate) fn json(body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { body, ..Self::status(200) }.with("Content-Type", "application/json")
    }

    /// An answer with this status and text.
    pub(crate) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::status(status) }.with("Content-Type", "text/plain")
    }

    /// A good answer with server-sent events.
    pub(crate) fn event_stream(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::status(200) }.with("Content-Type", "text/event-stream")
    }

    /// The same answer with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Answer = dyn Fn(&Hit) -> Reply + Send + Sync;

/// A server on a free port of 127.0.0.1, until the test process ends.
pub(crate) struct Server {
    address: SocketAddr,
    hits: Arc<Hits>,
    connections: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Hits {
    list: Mutex<Vec<Hit>>,
    came: Condvar,
}

impl Server {
    /// Starts a server that answers each request by this function, and hangs up.
    pub(crate) fn start(answer: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(false, answer)
    }

    /// Starts a server that answers one request after another on each connection.
    pub(crate) fn start_lasting(answer: impl Fn(&Hit) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(true, answer)
    }

    fn start_with(
        is_lasting: bool,
        answer: impl Fn(&Hit) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (hits, connections) = (Arc::<Hits>::default(), Arc::<AtomicUsize>::default());
        let (seen, answer): (_, Arc<Answer>) = (Arc::clone(&hits), Arc::new(answer));
        let connected = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connected.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                // A client that goes away early is no fault of the server.
                std::thread::spawn(move || drop(serve(stream, is_lasting, &seen, &*answer)));
            }
        });
        Self { address, hits, connections }
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address as a grant names it, such as `http://127.0.0.1:8080`.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// What it was asked so far.
    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.list.lock().unwrap().clone()
    }

    /// Waits until it was asked so often.
    pub(crate) fn wait_for_hits(&self, count: usize) {
        let hits = self.hits.list.lock().unwrap();
        let (hits, _) =
            self.hits.came.wait_timeout_while(hits, PATIENCE, |hits| hits.len() < count).unwrap();
        assert!(hits.len() >= count, "{} of {count} requests came", hits.len());
    }
}

fn serve(stream: TcpStream, is_lasting: bool, hits: &Hits, answer: &Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let hit = read(&mut reader)?;
        if is_lasting && hit.method.is_empty() {
            return Ok(());
        }
        hits.list.lock().unwrap().push(hit.clone());
        hits.came.notify_all();
        write_reply(&mut writer, is_lasting, &hit, &answer(&hit))?;
        if !is_lasting {
            return Ok(());
        }
    }
}

fn write_reply(
    writer: &mut TcpStream,
    is_lasting: bool,
    hit: &Hit,
    reply: &Reply,
) -> std::io::Result<()> {
    write!(writer, "HTTP/1.1 {} Said\r\n", reply.status)?;
    if !is_lasting {
        write!(writer, "Connection: close\r\n")?;
    }
    for (name, value) in &reply.headers {
        write!(writer, "{name}: {value}\r\n")?;
    }
    // Where a test says a length, it means to lie.
    if !reply.headers.iter().any(|(name, _)| *name == "Content-Length") {
        write!(writer, "Content-Length: {}\r\n", reply.body.len())?;
    }
    writer.write_all(b"\r\n")?;
    if hit.method != "HEAD" {
        writer.write_all(&reply.body)?;
    }
    writer.flush()
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Hit> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = read_headers(reader)?;
    let mut body = Vec::new();
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    if let Some(length) = length {
        reader.take(length).read_to_end(&mut body)?;
    } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        body = read_chunks(reader)?;
    }
    Ok(Hit { method, path, headers, body })
}

/// Reads the headers of a message, names in lower case.
pub(crate) fn read_headers(reader: &mut impl BufRead) -> std::io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(headers) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
        reader.by_ref().take(length).read_to_end(&mut body)?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}
