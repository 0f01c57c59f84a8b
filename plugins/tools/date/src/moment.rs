//! Moments: read from many forms, moved by spans of time, and written in any form.
//!
//! The rules of all time zones are in this program: a task sees no files of the system.

use apflow_command::Failure;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp, Zoned};

/// RFC 3339, as `date -Iseconds` writes it.
pub(crate) const RFC_3339: &str = "%Y-%m-%dT%H:%M:%S%.f%:z";
/// RFC 2822, as mails have it.
pub(crate) const RFC_2822: &str = "%a, %d %b %Y %H:%M:%S %z";

/// Finds a time zone by its name, such as `Europe/Berlin`, or `UTC`.
///
/// # Errors
///
/// A [`Failure`] when there is none of this name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Failure> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        Failure::new(format!("there is no time zone `{name}`; an example is `Europe/Berlin`"))
    })
}

/// Reads a moment. A time of day without an offset is one of `zone`.
///
/// # Errors
///
/// A [`Failure`] with the forms that are read, or with the fault at `format`.
pub(crate) fn read(text: &str, format: Option<&str>, zone: TimeZone) -> Result<Zoned, Failure> {
    let Some(format) = format else {
        return read_usual(text.trim(), zone);
    };
    let fault = |error| Failure::new(format!("`{text}` is not of the form `{format}`: {error}"));
    let parts = BrokenDownTime::parse(format, text).map_err(fault)?;
    if let Ok(zoned) = parts.to_zoned() {
        return Ok(zoned);
    }
    if let Ok(moment) = parts.to_timestamp() {
        return Ok(moment.to_zoned(zone));
    }
    // A date without a time of day is its midnight.
    let day_and_time = parts.to_datetime().or_else(|_| parts.to_date().map(DateTime::from));
    day_and_time.and_then(|civil| civil.to_zoned(zone)).map_err(fault)
}

fn read_usual(text: &str, zone: TimeZone) -> Result<Zoned, Failure> {
    if text == "now" {
        return Ok(Timestamp::now().to_zoned(zone));
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let fault = || Failure::new(format!("`{text}` must be `@` and whole seconds since 1970"));
        let seconds = seconds.parse().map_err(|_| fault())?;
        let moment = Timestamp::from_second(seconds).map_err(|_| fault())?;
        return Ok(moment.to_zoned(zone));
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned);
    }
    // Its own offset stays, as long as nobody asks for another.
    if let Ok(parts) = jiff::fmt::temporal::Pieces::parse(text)
        && let Some(offset) = parts.to_numeric_offset()
        && let Ok(moment) = text.parse::<Timestamp>()
    {
        return Ok(moment.to_zoned(offset.to_time_zone()));
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return Ok(civil.to_zoned(zone)?);
    }
    rfc2822::parse(text).map_err(|_| {
        Failure::new(format!(
            "`{text}` is no date: it must be `now`, `@` and whole seconds, or like `2026-11-21`, \
             `2026-11-21T17:05:00+01:00` or `Sat, 21 Nov 2026 17:05:00 +0100`; for other forms \
             give `input-format`"
        ))
    })
}

/// A step in time.
#[derive(Debug)]
pub(crate) struct Move(Span);

impl Move {
    /// Reads a span such as `1 month 2 days`, `36h` or `P1M2D`.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it is none.
    pub(crate) fn forwards(text: &str) -> Result<Self, Failure> {
        let fault = |error| Failure::new(format!("`{text}` is no span of time: {error}"));
        text.parse().map(Self).map_err(fault)
    }

    /// Reads a span, and goes the other way.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when it is none.
    pub(crate) fn backwards(text: &str) -> Result<Self, Failure> {
        Ok(Self(Self::forwards(text)?.0.negate()))
    }
}

/// Moves a moment, one step after the other. Days and longer keep the time of day.
///
/// # Errors
///
/// A [`Failure`] when it would leave the years -9999 to 9999.
pub(crate) fn moved(moment: Zoned, moves: &[Move]) -> Result<Zoned, Failure> {
    moves.iter().try_fold(moment, |moment, step| Ok(moment.checked_add(step.0)?))
}

/// Writes a moment with the conversions of `strftime`.
///
/// # Errors
///
/// A [`Failure`] when there is no such conversion.
pub(crate) fn format(moment: &Zoned, form: &str) -> Result<String, Failure> {
    strtime::format(form, moment)
        .map_err(|error| Failure::new(format!("`{form}` is no format: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, format: Option<&str>, from: &str) -> Result<String, Failure> {
        super::format(&read(text, format, zone(from)?)?, RFC_3339)
    }

    #[test]
    fn a_moment_is_read_from_many_forms() {
        for (text, expected) in [
            ("@0", "1970-01-01T01:00:00+01:00"),
            ("@-1", "1970-01-01T00:59:59+01:00"),
            ("2026-11-21", "2026-11-21T00:00:00+01:00"),
            ("2026-07-21 17:05", "2026-07-21T17:05:00+02:00"),
            ("2026-11-21T17:05:00Z", "2026-11-21T17:05:00+00:00"),
            ("2026-11-21T17:05:00-05:00", "2026-11-21T17:05:00-05:00"),
            ("2026-11-21T17:05[Asia/Tokyo]", "2026-11-21T17:05:00+09:00"),
            ("Sat, 21 Nov 2026 17:05:00 +0100", "2026-11-21T17:05:00+01:00"),
        ] {
            assert_eq!(shown(text, None, "Europe/Berlin"), Ok(expected.to_owned()), "{text}");
        }
        assert!(shown("soon", None, "UTC").unwrap_err().to_string().contains("input-format"));
    }

    #[test]
    fn any_form_is_read_when_it_is_told() {
        let form = Some("%d/%m/%Y");
        assert_eq!(shown("21/11/2026", form, "UTC").unwrap(), "2026-11-21T00:00:00+00:00");
        let form = Some("%d %b %Y %H.%M %z");
        let moment = shown("21 Nov 2026 17.05 +0530", form, "UTC").unwrap();
        assert_eq!(moment, "2026-11-21T17:05:00+05:30");
        let fault = shown("21/11/2026", form, "UTC").unwrap_err().to_string();
        assert!(fault.starts_with("`21/11/2026` is not of the form"), "{fault}");
    }

    #[test]
    fn days_keep_the_time_of_day_where_the_clocks_change() {
        let moment = read("2026-03-28T12:00", None, zone("Europe/Berlin").unwrap()).unwrap();
        let step = |text| [Move::forwards(text).unwrap()];
        let day = moved(moment.clone(), &step("1 day")).unwrap();
        assert_eq!(format(&day, "%H:%M %Z").unwrap(), "12:00 CEST");
        let hours = moved(moment, &step("24h")).unwrap();
        assert_eq!(format(&hours, "%H:%M").unwrap(), "13:00");
    }

    #[test]
    fn a_month_after_the_31st_is_its_last_day() {
        let moment = read("2026-01-31", None, TimeZone::UTC).unwrap();
        let steps = [Move::forwards("1 month").unwrap(), Move::backwards("P1D").unwrap()];
        assert_eq!(format(&moved(moment, &steps).unwrap(), "%F").unwrap(), "2026-02-27");
    }

    #[test]
    fn what_is_no_zone_span_or_format_is_told() {
        assert!(zone("Mars/Base").unwrap_err().to_string().contains("no time zone `Mars/Base`"));
        assert!(Move::forwards("soon").unwrap_err().to_string().contains("no span of time"));
        let moment = read("@0", None, TimeZone::UTC).unwrap();
        assert!(format(&moment, "%!").unwrap_err().to_string().contains("no format"));
        assert!(moved(moment, &[Move::forwards("9000 years").unwrap()]).is_err());
    }
}
