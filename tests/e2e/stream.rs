//! A client of server-sent events, as a browser or a script is one.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use serde_json::Value;

use crate::server::read_headers;
use crate::serving::Serving;

/// What a stream says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// The number of an event of the job; none for what the host says of the stream.
    pub(crate) id: Option<u64>,
    /// The kind.
    pub(crate) event: String,
    /// The rest.
    pub(crate) data: Value,
}

/// A stream of events that is open.
pub(crate) struct EventStream {
    chunks: BufReader<Chunks>,
}

impl EventStream {
    /// Watches a job as the operator. `query` is empty or starts with `?`.
    pub(crate) fn open(
        serving: &Serving<'_>,
        job: &str,
        query: &str,
        last_id: Option<u64>,
    ) -> Self {
        let last_id = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        Self::open_with(serving, &format!("{job}/events{query}"), serving.token(), &last_id)
    }

    /// Watches a job as the holder of a token.
    pub(crate) fn open_as(serving: &Serving<'_>, job: &str, token: &str) -> Self {
        Self::open_with(serving, &format!("{job}/events"), token, "")
    }

    fn open_with(serving: &Serving<'_>, path: &str, token: &str, header: &str) -> Self {
        let stream = serving.send(&format!(
            "GET /api/v1/jobs/{path} HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n{header}\r\n"
        ));
        Self::of(stream)
    }

    /// The stream that answers a request which was sent.
    pub(crate) fn of(stream: TcpStream) -> Self {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        let headers = read_headers(&mut stream).unwrap();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache");
        Self { chunks: BufReader::new(Chunks { stream, left: 0, has_ended: false }) }
    }

    /// Waits for the next message. None when the host has ended the stream in order.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let (mut id, mut event, mut data) = (None, String::new(), None);
        loop {
            let mut line = String::new();
            if self.chunks.read_line(&mut line).unwrap() == 0 {
                assert_eq!(data, None, "a message was cut short");
                return None;
            }
            match line.trim_end_matches('\n').split_once(':') {
                Some(("id", value)) => id = Some(value.trim().parse().unwrap()),
                Some(("event", value)) => value.trim().clone_into(&mut event),
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                // A comment.
                Some(("", _)) => {}
                Some(other) => panic!("{other:?}"),
                // An empty line ends a message, or a comment.
                None => {
                    if let Some(data) = data.take() {
                        return Some(Message { id, event, data });
                    }
                }
            }
        }
    }

    /// Every message to the end of the stream, and the last one apart, which says why it ended.
    pub(crate) fn all(mut self) -> (Vec<Message>, Message) {
        let mut all = Vec::new();
        while let Some(message) = self.next() {
            all.push(message);
        }
        let last = all.pop().unwrap();
        assert_eq!(last.id, None, "{last:?}");
        (all, last)
    }
}

/// The bytes of a body that comes in chunks.
struct Chunks {
    stream: BufReader<TcpStream>,
    /// How much of this chunk is still to come.
    left: u64,
    has_ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.has_ended {
            return Ok(0);
        }
        if self.left == 0 {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            self.left = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            if self.left == 0 {
                self.has_ended = true;
                return Ok(0);
            }
        }
        let count = self.stream.by_ref().take(self.left).read(buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        if self.left == 0 {
            self.stream.read_line(&mut String::new())?;
        }
        Ok(count)
    }
}
