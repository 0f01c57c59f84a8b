//! The header `Retry-After` of an answer.

use std::time::Duration;

use super::{header, http_date};

/// Reads `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. None without it, and for what
/// cannot be read.
///
/// It asks no clock: a date is counted from the answer's own `Date`.
pub(crate) fn retry_after(headers: &[(String, String)]) -> Option<Duration> {
    let text = header(headers, "retry-after")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date::parse(header(headers, "date")?)?;
    let seconds = http_date::parse(text)?.saturating_sub(date);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(text: &str, date: Option<&str>) -> Option<Duration> {
        let date = date.map(|date| ("Date".to_owned(), date.to_owned()));
        let headers: Vec<_> =
            date.into_iter().chain([("Retry-After".to_owned(), text.to_owned())]).collect();
        retry_after(&headers)
    }

    #[test]
    fn a_wait_is_seconds_or_until_a_date() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait(" 120 ", None), seconds(120));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", date), seconds(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", date), seconds(0));
    }

    #[test]
    fn what_cannot_be_read_is_no_wait() {
        for text in ["soon", "-1", "1.5", "Sun, 06 Nov 1994 08:50:37 GMT"] {
            assert_eq!(wait(text, None), None, "{text}");
        }
        assert_eq!(retry_after(&[]), None);
    }
}
