//! Dates in UTC. There is no `now` and no local time: the plugin asks for no clock.

use jaq_core::native::{bome, unary, v};
use jaq_json::{Error, Val};
use jaq_std::ValT as _;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::{Native, text};

/// The functions of jq that do not ask what time or where it is.
pub(super) fn all() -> Vec<Native> {
    vec![
        ("fromdateiso8601", v(0), |cv| bome(text(&cv.1).and_then(from_iso8601))),
        ("todateiso8601", v(0), |cv| bome(timestamp(&cv.1).map(|time| time.to_string().into()))),
        ("strftime", v(1), |cv| {
            unary(cv, |value, format| {
                let zoned = zoned(&value)?;
                strtime::format(text(&format)?, &zoned).map(Val::from).map_err(Error::str)
            })
        }),
        ("gmtime", v(0), |cv| {
            bome(timestamp(&cv.1).map(|time| broken_down(TimeZone::UTC.to_datetime(time))))
        }),
        ("strptime", v(1), |cv| {
            unary(cv, |value, format| {
                let parsed = strtime::parse(text(&format)?, text(&value)?).map_err(Error::str)?;
                // A text with an offset names a moment; one without is read as UTC.
                if parsed.offset().is_some() {
                    let time = parsed.to_timestamp().map_err(Error::str)?;
                    return Ok(broken_down(TimeZone::UTC.to_datetime(time)));
                }
                parsed.to_datetime().map(broken_down).map_err(Error::str)
            })
        }),
        ("mktime", v(0), |cv| bome(zoned(&cv.1).map(|zoned| seconds(zoned.timestamp())))),
    ]
}

fn from_iso8601(text: &str) -> Result<Val, Error> {
    text.parse().map(seconds).map_err(Error::str)
}

/// Whole seconds as an integer, others as a fraction.
fn seconds(time: Timestamp) -> Val {
    match time.subsec_nanosecond() {
        0 => Val::Num(jaq_json::Num::from_integral(time.as_second())),
        _ => Val::from(time.as_duration().as_secs_f64()),
    }
}

/// Reads seconds since 1970.
fn timestamp(value: &Val) -> Result<Timestamp, Error> {
    let seconds = value.as_f64().ok_or_else(|| Error::typ(value.clone(), "number"))?;
    let whole = format!("{:.0}", seconds.floor()).parse::<i64>().map_err(Error::str)?;
    let micros = format!("{:.0}", (seconds - seconds.floor()) * 1e6);
    let nanos = micros.parse::<i32>().map_err(Error::str)? * 1_000;
    Timestamp::new(whole, nanos.min(999_999_000)).map_err(Error::str)
}

/// Reads seconds since 1970, or an array as [`broken_down`] makes it.
fn zoned(value: &Val) -> Result<Zoned, Error> {
    let Val::Arr(parts) = value else {
        return timestamp(value).map(|time| time.to_zoned(TimeZone::UTC));
    };
    let fault = || Error::str(format_args!("{value} is not a time"));
    let [year, month, day, hour, minute, second, ..] = parts.as_slice() else {
        return Err(fault());
    };
    let small = |value: &Val| value.as_isize().and_then(|number| i8::try_from(number).ok());
    let year = year.as_isize().and_then(|year| i16::try_from(year).ok()).ok_or_else(fault)?;
    let month = small(month).and_then(|month| month.checked_add(1)).ok_or_else(fault)?;
    let [day, hour, minute] = [day, hour, minute].map(small);
    let (day, hour, minute) =
        (day.ok_or_else(fault)?, hour.ok_or_else(fault)?, minute.ok_or_else(fault)?);
    let second = timestamp(second)?;
    let whole = i8::try_from(second.as_second()).map_err(|_| fault())?;
    DateTime::new(year, month, day, hour, minute, whole, second.subsec_nanosecond())
        .and_then(|time| time.to_zoned(TimeZone::UTC))
        .map_err(Error::str)
}

/// Year, month from 0, day, hour, minute, second, day of the week from Sunday, day of the year
/// from 0.
fn broken_down(time: DateTime) -> Val {
    let second = match time.subsec_nanosecond() {
        0 => Val::from(isize::from(time.second())),
        nanos => Val::from(f64::from(time.second()) + f64::from(nanos) / 1e9),
    };
    let integer = |number: i16| Val::from(isize::from(number));
    [
        integer(time.year()),
        integer(i16::from(time.month()) - 1),
        integer(time.day().into()),
        integer(time.hour().into()),
        integer(time.minute().into()),
        second,
        integer(time.weekday().to_sunday_zero_offset().into()),
        integer(time.day_of_year() - 1),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::holds;

    #[test]
    fn dates_are_those_of_jq() {
        holds(&[
            "\"2015-03-05T23:51:47Z\" | fromdate == 1425599507 and (fromdate | todate) == .",
            "\"2015-03-05T23:51:47.25Z\" | fromdate == 1425599507.25",
            "1425599507 | gmtime == [2015, 2, 5, 23, 51, 47, 4, 63]",
            "1425599507 | gmtime | mktime == 1425599507",
            "1425599507.5 | gmtime | .[5] == 47.5",
            "-1.5 | gmtime == [1969, 11, 31, 23, 59, 58.5, 3, 364]",
            "1425599507 | strftime(\"%A, %B %d, %Y\") == \"Thursday, March 05, 2015\"",
            "\"2015-03-05T23:51:47Z\" | strptime(\"%Y-%m-%dT%H:%M:%SZ\") | mktime == 1425599507",
            "\"2015-03-06 01:51:47 +0200\" | strptime(\"%Y-%m-%d %H:%M:%S %z\") | mktime == 1425599507",
        ]);
    }

    #[test]
    fn what_is_no_date_is_told() {
        holds(&[
            "try (\"yesterday\" | fromdate) catch . | type == \"string\"",
            "try ([2015, 13] | mktime) catch . | contains(\"is not a time\")",
            "try (\"x\" | todate) catch . | contains(\"number\")",
            "try (1e300 | todate) catch . | type == \"string\"",
        ]);
    }
}
