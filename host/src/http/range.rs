//! Which part of a file a request wants, and whether it wants it at all: preconditions and ranges,
//! as in RFC 9110, sections 13 and 14.
//!
//! It reads nothing: it is told what the file is like.

use std::time::{Duration, SystemTime};

use apflow_model::clock::Timestamp;
use axum::http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};

/// What tells a file from any other, and from itself at another time.
#[derive(Debug)]
pub(super) struct Validators {
    /// A strong entity tag, in its quotation marks.
    pub(super) tag: String,
    /// When it was written last, in whole seconds: headers say no more.
    modified: SystemTime,
}

/// What is sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// `size` bytes from `start` on; at least one.
    Range {
        /// How many bytes are before it.
        start: u64,
        /// How many bytes it has.
        size: u64,
    },
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: it is not the file that the client means.
    Failed,
    /// Nothing: it has no such part.
    NotSatisfiable,
}

impl Validators {
    pub(super) fn new(tag: String, modified_at: Timestamp) -> Self {
        let seconds = u64::try_from(modified_at.unix_ms()).unwrap_or(0) / 1_000;
        Self { tag, modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    /// When it was written last, as a header says it.
    pub(super) fn modified(&self) -> String {
        httpdate::fmt_http_date(self.modified)
    }

    /// What a request for a file of so many bytes is answered with. A range counts for who gets
    /// bytes, which is not `HEAD`.
    pub(super) fn choose(&self, headers: &HeaderMap, size: u64, gets_bytes: bool) -> Part {
        if let Some(tags) = text(headers, &IF_MATCH) {
            if !self.is_among(&tags, false) {
                return Part::Failed;
            }
        } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|since| self.modified > since) {
            return Part::Failed;
        }
        if let Some(tags) = text(headers, &IF_NONE_MATCH) {
            if self.is_among(&tags, true) {
                return Part::NotModified;
            }
        } else if date(headers, &IF_MODIFIED_SINCE).is_some_and(|since| self.modified <= since) {
            return Part::NotModified;
        }
        match text(headers, &RANGE) {
            Some(range) if gets_bytes && self.is_still_meant(headers) => of_range(&range, size),
            _ => Part::Whole,
        }
    }

    /// Whether one of these tags is that of the file, or they are any. Only a precondition against
    /// sending it again takes weak ones.
    fn is_among(&self, tags: &str, takes_weak: bool) -> bool {
        tags.split(',').map(str::trim).any(|tag| {
            let strong = if takes_weak { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
            tag == "*" || strong == self.tag
        })
    }

    /// Whether a range is one of the file that the client has a part of, as far as it says.
    fn is_still_meant(&self, headers: &HeaderMap) -> bool {
        match text(headers, &IF_RANGE) {
            None => true,
            Some(tag) if tag.contains('"') => tag.trim() == self.tag,
            Some(date) => httpdate::parse_http_date(&date).is_ok_and(|date| date == self.modified),
        }
    }
}

/// A header that may stand in several lines.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// A header with a moment. One that is none does not count.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// The part that a range names. Several parts, and what is no range of bytes, are not understood:
/// the whole is an answer to them.
fn of_range(range: &str, size: u64) -> Part {
    let Some((unit, range)) = range.split_once('=') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else { return Part::Whole };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // One that no file reaches is as good as the largest there is.
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => (first, size),
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (None, Some(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
        _ => return Part::Whole,
    };
    if start < end { Part::Range { start, size: end - start } } else { Part::NotSatisfiable }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const MODIFIED: &str = "Sat, 31 Jan 2026 08:00:00 GMT";
    const EARLIER: &str = "Sat, 31 Jan 2026 07:59:59 GMT";

    fn choose(pairs: &[(&'static str, &'static str)]) -> Part {
        let pairs = pairs.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value))
        });
        let modified = httpdate::parse_http_date(MODIFIED).unwrap();
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let modified_at = Timestamp::from_unix_ms(i64::try_from(since).unwrap() + 250);
        let validators = Validators::new("\"abc\"".to_owned(), modified_at);
        assert_eq!(validators.modified(), MODIFIED);
        validators.choose(&pairs.collect::<HeaderMap>(), 10, true)
    }

    #[test]
    fn a_range_is_a_part_of_the_file() {
        for (range, start, size) in [
            ("bytes=0-0", 0, 1),
            ("bytes=2-5", 2, 4),
            ("bytes=2-", 2, 8),
            ("bytes=-3", 7, 3),
            ("bytes=-30", 0, 10),
            ("bytes=8-99999999999999999999", 8, 2),
            ("Bytes=9-9", 9, 1),
        ] {
            assert_eq!(choose(&[("range", range)]), Part::Range { start, size }, "{range}");
        }
        for range in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0"] {
            assert_eq!(choose(&[("range", range)]), Part::NotSatisfiable, "{range}");
        }
    }

    #[test]
    fn what_is_no_single_range_gets_the_whole() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=1-2,4-5",
            "lines=1-2",
            "bytes=+1-2",
            "bytes=1--2",
        ] {
            assert_eq!(choose(&[("range", range)]), Part::Whole, "{range}");
        }
    }

    #[test]
    fn an_empty_file_has_no_part() {
        assert_eq!(of_range("bytes=0-", 0), Part::NotSatisfiable);
        assert_eq!(of_range("bytes=-5", 0), Part::NotSatisfiable);
    }

    #[test]
    fn a_range_of_another_file_gets_the_whole() {
        let part = Part::Range { start: 1, size: 9 };
        for (validator, expected) in [
            ("\"abc\"", part),
            ("\"abd\"", Part::Whole),
            ("W/\"abc\"", Part::Whole),
            (MODIFIED, part),
            (EARLIER, Part::Whole),
            ("nonsense", Part::Whole),
        ] {
            assert_eq!(choose(&[("range", "bytes=1-"), ("if-range", validator)]), expected);
        }
    }

    #[test]
    fn who_has_it_does_not_get_it_again() {
        for tag in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert_eq!(choose(&[("if-none-match", tag)]), Part::NotModified, "{tag}");
        }
        assert_eq!(choose(&[("if-none-match", "\"x\"")]), Part::Whole);
        assert_eq!(choose(&[("if-modified-since", MODIFIED)]), Part::NotModified);
        assert_eq!(choose(&[("if-modified-since", EARLIER)]), Part::Whole);
        // The tag knows better.
        let both = [("if-none-match", "\"x\""), ("if-modified-since", MODIFIED)];
        assert_eq!(choose(&both), Part::Whole);
    }

    #[test]
    fn who_means_another_gets_nothing() {
        assert_eq!(choose(&[("if-match", "\"x\"")]), Part::Failed);
        assert_eq!(choose(&[("if-match", "W/\"abc\"")]), Part::Failed);
        assert_eq!(choose(&[("if-match", "\"x\", \"abc\"")]), Part::Whole);
        assert_eq!(choose(&[("if-unmodified-since", EARLIER)]), Part::Failed);
        assert_eq!(choose(&[("if-unmodified-since", MODIFIED)]), Part::Whole);
    }
}
