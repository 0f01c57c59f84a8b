//! What a command writes, gathered to few events: a guest that writes byte by byte must not flood
//! the history and whoever watches.

use apflow_model::event::{Happening, Stream};

/// The most bytes that wait: as many as come are an event at once.
const WAITING_BYTES_MAX: usize = 16 << 10;

/// What a command has written and is no event yet.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Streams {
    /// Takes in what was written. What comes back is an event.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) -> Option<Happening> {
        let waiting = self.waiting(stream);
        waiting.extend_from_slice(bytes);
        if waiting.len() < WAITING_BYTES_MAX {
            return None;
        }
        let whole = whole_characters(waiting);
        piece(stream, waiting, whole)
    }

    /// Takes out what has waited long enough: whole lines, or what there is of one.
    pub(crate) fn take(&mut self) -> Vec<Happening> {
        self.take_each(|waiting| {
            let line = waiting.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
            line.unwrap_or_else(|| whole_characters(waiting))
        })
    }

    /// Takes out all, since there is no more to come.
    pub(crate) fn take_all(&mut self) -> Vec<Happening> {
        self.take_each(<[u8]>::len)
    }

    fn take_each(&mut self, length: impl Fn(&[u8]) -> usize) -> Vec<Happening> {
        let take = |stream| {
            let waiting = self.waiting(stream);
            let length = length(waiting);
            piece(stream, waiting, length)
        };
        [Stream::Stdout, Stream::Stderr].into_iter().filter_map(take).collect()
    }

    fn waiting(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// Takes the first bytes out, as text.
fn piece(stream: Stream, waiting: &mut Vec<u8>, length: usize) -> Option<Happening> {
    if length == 0 {
        return None;
    }
    let bytes: Vec<u8> = waiting.drain(..length).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some(match stream {
        Stream::Stdout => Happening::Stdout { text },
        Stream::Stderr => Happening::Stderr { text },
    })
}

/// How many bytes there are before a character that is not yet whole.
fn whole_characters(bytes: &[u8]) -> usize {
    let broken = bytes.utf8_chunks().last().map_or(&[] as &[u8], |chunk| chunk.invalid());
    // Whether more could make a character of it: a first byte of several, and too few after it.
    let wanted = match broken.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 0,
    };
    if broken.len() < wanted { bytes.len() - broken.len() } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(happenings: Vec<Happening>) -> Vec<String> {
        let text = |happening| {
            if let Happening::Stderr { text } = happening {
                return format!("!{text}");
            }
            let Happening::Stdout { text } = happening else { panic!("it is no stream") };
            text
        };
        happenings.into_iter().map(text).collect()
    }

    fn write(streams: &mut Streams, bytes: &[u8]) -> Vec<String> {
        texts(streams.write(Stream::Stdout, bytes).into_iter().collect())
    }

    #[test]
    fn lines_are_told_whole_and_the_rest_of_one_a_moment_later() {
        let mut streams = Streams::default();
        assert_eq!(write(&mut streams, b"one\ntw"), [""; 0]);
        streams.write(Stream::Stderr, b"oh");
        assert_eq!(texts(streams.take()), ["one\n", "!oh"]);
        assert_eq!(texts(streams.take()), ["tw"]);
        assert_eq!(texts(streams.take()), [""; 0]);
    }

    #[test]
    fn a_character_is_not_cut() {
        let mut streams = Streams::default();
        write(&mut streams, "grü".as_bytes().split_last().unwrap().1);
        assert_eq!(texts(streams.take()), ["gr"]);
        assert_eq!(texts(streams.take()), [""; 0]);
        write(&mut streams, &["ü".as_bytes()[1]]);
        assert_eq!(texts(streams.take()), ["ü"]);
        write(&mut streams, &[b'a', 0xff, 0xe2]);
        assert_eq!(texts(streams.take()), ["a\u{fffd}"]);
        assert_eq!(texts(streams.take_all()), ["\u{fffd}"]);
    }

    #[test]
    fn no_more_than_a_piece_waits() {
        let mut streams = Streams::default();
        let told: Vec<String> =
            (0..WAITING_BYTES_MAX * 2).flat_map(|_| write(&mut streams, b"a")).collect();
        assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [WAITING_BYTES_MAX; 2]);
        assert_eq!(texts(streams.take_all()), [""; 0]);
    }
}
