//! Amounts with a least and a most.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limit::{Bytes, Span};
use crate::reader::{Reader, Section};

/// Reads a number of bytes with its unit.
pub(crate) fn read_size(
    reader: &mut Reader,
    section: &Section<'_>,
    key: &str,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    reader.parsed(section, key, |text| {
        let size = Bytes::parse(text)?;
        if range.contains(&size.0) {
            return Ok(size.0);
        }
        let (least, most) = (Bytes(*range.start()), Bytes(*range.end()));
        Err(format!("is {size}, but must be from {least} to {most}"))
    })
}

/// Reads a whole number.
pub(crate) fn read_count(
    reader: &mut Reader,
    section: &Section<'_>,
    key: &str,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let number = reader.number(section, key)?;
    if range.contains(&number) {
        return Some(number);
    }
    let (least, most) = (range.start(), range.end());
    if let Some(node) = section.get(key) {
        let message = format!("is {number}, but must be from {least} to {most}");
        reader.invalid(node, &section.path(key), message);
    }
    None
}

/// Reads a span of time with its unit.
pub(crate) fn read_span(
    reader: &mut Reader,
    section: &Section<'_>,
    key: &str,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    reader.parsed(section, key, |text| {
        let span = Span::parse(text)?;
        if range.contains(&span.0) {
            return Ok(span.0);
        }
        let (least, most) = (Span(*range.start()), Span(*range.end()));
        Err(format!("is {text}, but must be from {least} to {most}"))
    })
}
