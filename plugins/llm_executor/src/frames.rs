//! Takes the body of an answer apart: server-sent events, JSON lines, or one JSON value.
//!
//! It knows no protocol of models: what an event means, others say.

use serde_json::Value;

/// The longest event, in bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// What `OpenAI` ends a stream with.
const DONE: &str = "[DONE]";

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, of which only the data count.
    Events,
    /// A JSON value a line.
    Lines,
    /// One JSON value.
    Whole,
}

impl Framing {
    /// That of an answer with this content type. `streamed` is what was asked for.
    pub fn of(content_type: Option<&str>, streamed: Self) -> Self {
        let media_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
        match media_type.trim().to_ascii_lowercase().as_str() {
            "text/event-stream" => Self::Events,
            "application/x-ndjson" => Self::Lines,
            "application/json" => Self::Whole,
            _ => streamed,
        }
    }
}

/// What keeps a body from being read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An event is too long.
    #[error("an event has more than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// An event is no JSON.
    #[error("an event is no JSON: {0}")]
    NoJson(String),
}

/// A body that is being taken apart.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    /// The line that has begun, or all there is of a whole.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: String,
    /// Whether the body has said that it ends.
    is_done: bool,
}

impl Frames {
    /// Begins a body.
    pub fn new(framing: Framing) -> Self {
        Self { framing, line: Vec::new(), data: String::new(), is_done: false }
    }

    /// Whether the body has said that nothing follows, by `[DONE]`.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Takes the next bytes, and gives what ended with them. Characters may be cut.
    ///
    /// # Errors
    ///
    /// See [`FrameError`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Value>, FrameError> {
        let mut events = Vec::new();
        if self.framing == Framing::Whole {
            self.line.extend_from_slice(bytes);
        } else {
            for part in bytes.split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(part);
                if part.ends_with(b"\n") {
                    events.extend(self.end_line()?);
                }
            }
        }
        if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
            return Err(FrameError::TooLong);
        }
        Ok(events)
    }

    /// Ends the body, and gives what ended with it. What a stream ends in the midst of is dropped.
    ///
    /// # Errors
    ///
    /// [`FrameError::NoJson`].
    pub fn finish(mut self) -> Result<Option<Value>, FrameError> {
        match self.framing {
            Framing::Whole => parse(&self.line).map(Some),
            Framing::Lines => Ok(serde_json::from_slice(&self.line).ok()),
            Framing::Events => {
                let last = self.end_line().ok().flatten();
                Ok(last.or_else(|| serde_json::from_str(&self.data).ok()))
            }
        }
    }

    fn end_line(&mut self) -> Result<Option<Value>, FrameError> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.framing == Framing::Lines {
            return if line.is_empty() { Ok(None) } else { parse(line).map(Some) };
        }
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.is_done |= data.trim() == DONE;
            let is_event = !data.is_empty() && !self.is_done;
            return if is_event { parse(data.as_bytes()).map(Some) } else { Ok(None) };
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            let data = data.strip_prefix(b" ").unwrap_or(data);
            self.data.push_str(&String::from_utf8_lossy(data));
        }
        Ok(None)
    }
}

fn parse(bytes: &[u8]) -> Result<Value, FrameError> {
    serde_json::from_slice(bytes).map_err(|error| FrameError::NoJson(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<Value>, FrameError> {
        let mut frames = Frames::new(framing);
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(frames.push(piece)?);
        }
        all.extend(frames.finish()?);
        Ok(all)
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "event: a\ndata: {\"a\":\"ü\"}\n\n: a word aside\r\ndata:{\"b\":\r\ndata: 1}\r\n\r\ndata: [DONE]\n\n";
        let expected = vec![json!({ "a": "ü" }), json!({ "b": 1 })];
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(read(Framing::Events, &pieces).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn lines_are_read_however_they_are_cut() {
        let text = "{\"a\":\"ü\"}\n\n{\"b\":1}\r\n{\"c\":2}";
        let expected = vec![json!({ "a": "ü" }), json!({ "b": 1 }), json!({ "c": 2 })];
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(read(Framing::Lines, &pieces).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn what_a_stream_ends_in_the_midst_of_is_dropped() {
        assert_eq!(read(Framing::Events, &[b"data: {\"a\":1}"]).unwrap(), [json!({ "a": 1 })]);
        assert_eq!(read(Framing::Events, &[b"data: {\"a\":"]).unwrap(), [Value::Null; 0]);
        assert_eq!(read(Framing::Lines, &[b"{\"a\":"]).unwrap(), [Value::Null; 0]);
    }

    #[test]
    fn what_is_no_event_says_so() {
        for (framing, text) in [
            (Framing::Events, "data: <html>\n\n"),
            (Framing::Lines, "<html>\n"),
            (Framing::Whole, "<html>"),
        ] {
            let error = read(framing, &[text.as_bytes()]).unwrap_err();
            assert!(matches!(error, FrameError::NoJson(_)), "{text}");
        }
        let long = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(read(Framing::Events, &[&long]), Err(FrameError::TooLong));
    }

    #[test]
    fn the_content_type_says_how_it_is_framed() {
        let of = |text| Framing::of(Some(text), Framing::Lines);
        assert_eq!(of("text/event-stream; charset=utf-8"), Framing::Events);
        assert_eq!(of("Application/JSON"), Framing::Whole);
        assert_eq!(
            (of("text/plain"), Framing::of(None, Framing::Events)),
            (Framing::Lines, Framing::Events)
        );
    }
}
