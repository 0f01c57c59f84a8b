//! The events of a job as a server sends them: server-sent events, read to the job's end.
//!
//! A stream that breaks off is begun anew after the last event that came.

use std::time::Duration;

use apflow_model::event::Event;
use apflow_model::id::JobId;
use hyper::body::Incoming;

use super::client::Client;
use super::error::RemoteError;

/// How long a server is silent at most: it says that it is there more often than that.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long to wait before a stream that broke off is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(200);
/// The most bytes of one message, more than any event has.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What happens to a job.
pub(crate) struct EventStream<'client> {
    client: &'client Client,
    id: JobId,
    /// The number of the last event that came.
    after: u64,
    /// None before it is opened, and once it broke off.
    body: Option<Incoming>,
    messages: Messages,
    has_ended: bool,
}

impl<'client> EventStream<'client> {
    /// Watches a job to its end, from the event after this number.
    pub(crate) fn new(client: &'client Client, id: JobId, after: u64) -> Self {
        let messages = Messages::default();
        Self { client, id, after, body: None, messages, has_ended: false }
    }

    /// The next events. None when the job has ended, and no more will come.
    ///
    /// # Errors
    ///
    /// [`RemoteError`] when the server is not reached again.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Event>>, RemoteError> {
        while !self.has_ended {
            let body = if let Some(body) = &mut self.body {
                body
            } else {
                self.messages = Messages::default();
                self.body.insert(self.client.events(self.id, self.after).await?)
            };
            // Whatever ends a stream, what is missing comes with the next.
            let Ok(Some(bytes)) = self.client.piece(body, SILENCE_MAX).await else {
                self.body = None;
                tokio::time::sleep(REOPEN_AFTER).await;
                continue;
            };
            self.messages.add(&bytes);
            let events = self.read();
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
        Ok(None)
    }

    /// The events of all messages that are there.
    fn read(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(message) = self.messages.next() {
            match message.kind.as_str() {
                "end" => self.has_ended = true,
                "closing" | "shed" => self.body = None,
                // What a newer server tells beside, this version has no words for.
                _ => events.extend(serde_json::from_str::<Event>(&message.data)),
            }
            if let Some(n) = message.id {
                self.after = n;
            }
        }
        events
    }
}

/// A message of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    id: Option<u64>,
    kind: String,
    data: String,
}

/// The messages of a stream as its bytes come.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
}

impl Messages {
    fn add(&mut self, bytes: &[u8]) {
        // No server sends that much without an end of a message.
        if self.bytes.len() < MESSAGE_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The next message that is there as a whole.
    fn next(&mut self) -> Option<Message> {
        let end = self.bytes.windows(2).position(|two| two == b"\n\n")?;
        let text: Vec<u8> = self.bytes.drain(..end + 2).collect();
        let mut message = Message::default();
        for line in String::from_utf8_lossy(&text).lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "id" => message.id = value.parse().ok(),
                "event" => value.clone_into(&mut message.kind),
                "data" if message.data.is_empty() => value.clone_into(&mut message.data),
                "data" => message.data = format!("{}\n{value}", message.data),
                // A comment, or what is not known here.
                _ => {}
            }
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_however_their_bytes_come() {
        let text =
            ":\n\nid: 7\nevent: log\ndata: {\"a\":\ndata: \"é\"}\n\nevent: end\ndata: {}\n\n";
        for size in 1..text.len() {
            let mut messages = Messages::default();
            let mut read = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                messages.add(piece);
                read.extend(std::iter::from_fn(|| messages.next()));
            }
            let data = "{\"a\":\n\"é\"}".to_owned();
            let log = Message { id: Some(7), kind: "log".to_owned(), data };
            let end = Message { id: None, kind: "end".to_owned(), data: "{}".to_owned() };
            assert_eq!(read, [Message::default(), log, end], "{size} at once");
        }
    }
}
