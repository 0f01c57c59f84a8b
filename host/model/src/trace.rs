//! Where something stands in a trace, as the W3C's *Trace Context* (2021) writes it:
//! `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.

use std::fmt;
use std::str::FromStr;

/// The target of spans that belong to traces.
pub const TARGET: &str = "trace";

/// The header that carries it, in small letters.
pub const HEADER: &str = "traceparent";

/// The bit of the flags that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// A span of a trace, as others name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace. Not 0.
    pub trace: u128,
    /// The span. Not 0.
    pub span: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

/// Why a text names no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not `00-` and a trace of 32, a span of 16 and flags of 2 hexadecimal digits")]
pub struct TraceFault;

impl FromStr for TraceContext {
    type Err = TraceFault;

    /// Reads version 00, and what later versions share with it.
    fn from_str(text: &str) -> Result<Self, TraceFault> {
        let mut parts = text.trim().split('-');
        let mut next = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(TraceFault)?;
            let is_right = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
            if !part.bytes().all(is_right) {
                return Err(TraceFault);
            }
            u128::from_str_radix(part, 16).map_err(|_| TraceFault)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let has_more = parts.next().is_some();
        let span = u64::try_from(span).map_err(|_| TraceFault)?;
        if version == 0xff || (version == 0 && has_more) || trace == 0 || span == 0 {
            return Err(TraceFault);
        }
        Ok(Self { trace, span, is_sampled: flags & u128::from(SAMPLED) != 0 })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        write!(formatter, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_standard_is_read_and_written() {
        let context: TraceContext = EXAMPLE.parse().unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), EXAMPLE);
        let later = format!("cc{}-what-the-future-holds", &EXAMPLE[2..]);
        assert_eq!(later.parse(), Ok(context));
    }

    #[test]
    fn what_names_no_span_is_refused() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(wrong.parse::<TraceContext>(), Err(TraceFault), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".{0,80}") {
            // Whatever is read is written as it was, but for its flags and its version.
            if let Ok(context) = text.parse::<TraceContext>() {
                let written = context.to_string();
                prop_assert_eq!(written.get(3..52), text.trim().get(3..52));
            }
        }
    }
}
