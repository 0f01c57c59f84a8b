//! Cron expressions: reading them, and finding the next time on a clock that they match.
//!
//! It knows no time zone: [`crate::tick`] does.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, date};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest expression, in bytes.
const BYTES_MAX: usize = 256;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A cron expression: five fields, or six with seconds in front, or a nickname such as `@hourly`.
///
/// # Examples
///
/// ```
/// use apflow_model::cron::Cron;
///
/// let cron: Cron = "30 6 * * MON-FRI".parse().unwrap();
/// assert_eq!(cron.to_string(), "30 6 * * MON-FRI");
/// let error = "30 24 * * *".parse::<Cron>().unwrap_err();
/// assert_eq!(error, "the hour is `24`: expected 0 to 23");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("examples" = ["0 8 * * *"]))]
pub struct Cron {
    text: String,
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Set,
    /// Whether the last day of a month counts as well, which `L` says.
    is_last_day: bool,
    months: Set,
    weekdays: Set,
    /// Whether a day has to match both day fields: at least one of them begins with `*`. Otherwise
    /// one is enough, as in every cron since Vixie's.
    is_both: bool,
}

/// Some of the numbers from 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.0 & (1 << number) != 0)
    }

    /// The least number in it that is `from` or more.
    fn first(self, from: i8) -> Option<i8> {
        (from..64).find(|number| self.has(*number))
    }
}

impl Cron {
    /// Whether it matches in every hour of a day, so that it says how often and not at what time.
    pub(crate) fn is_every_hour(&self) -> bool {
        (0..24).all(|hour| self.hours.has(hour))
    }

    /// The first match from `from` on, which is a whole second, and before `until`.
    pub(crate) fn next(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let (mut date, mut earliest) = (from.date(), from.time());
        while date.to_datetime(earliest) < until {
            if !self.months.has(date.month()) {
                date = date.last_of_month();
            } else if self.has_day(date)
                && let Some(time) = self.next_time(earliest)
            {
                return Some(date.to_datetime(time)).filter(|found| *found < until);
            }
            (date, earliest) = (date.tomorrow().ok()?, Time::midnight());
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let is_last = self.is_last_day && date.day() == date.days_in_month();
        let in_month = is_last || self.days.has(date.day());
        let in_week = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.is_both { in_month && in_week } else { in_month || in_week }
    }

    /// The first match from `from` on, on a day that matches.
    fn next_time(&self, from: Time) -> Option<Time> {
        let at = |hour, minute, second| Time::new(hour, minute, second, 0).ok();
        let (first_minute, first_second) = (self.minutes.first(0)?, self.seconds.first(0)?);
        if self.hours.has(from.hour()) {
            if self.minutes.has(from.minute())
                && let Some(second) = self.seconds.first(from.second())
            {
                return at(from.hour(), from.minute(), second);
            }
            if let Some(minute) = self.minutes.first(from.minute() + 1) {
                return at(from.hour(), minute, first_second);
            }
        }
        at(self.hours.first(from.hour() + 1)?, first_minute, first_second)
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("has {} bytes, but may have at most {BYTES_MAX}", text.len()));
        }
        let text = text.trim();
        let written = if text.starts_with('@') { nickname(text)? } else { text };
        let fields: Vec<&str> = written.split_ascii_whitespace().collect();
        let (second, rest) = match fields[..] {
            [_, _, _, _, _] => ("0", &fields[..]),
            [second, _, _, _, _, _] => (second, &fields[1..]),
            _ => return Err(format!("`{text}` has {} fields: expected {FIELDS}", fields.len())),
        };
        let [minute, hour, day, month, weekday] = rest else { return Err(FIELDS.to_owned()) };
        let is_last = |item: &&str| item.eq_ignore_ascii_case("L");
        let is_last_day = day.split(',').any(|item| is_last(&item));
        let numbered: Vec<&str> = day.split(',').filter(|item| !is_last(item)).collect();
        let days = if numbered.is_empty() { Set(0) } else { DAY.read(&numbered.join(","))? };
        let mut weekdays = WEEKDAY.read(weekday)?;
        // Sunday is 0 and 7.
        weekdays.0 |= weekdays.0 >> 7;
        let cron = Self {
            text: text.to_owned(),
            seconds: SECOND.read(second)?,
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days,
            is_last_day,
            months: MONTH.read(month)?,
            weekdays,
            is_both: day.starts_with('*') || weekday.starts_with('*'),
        };
        // Long enough for a leap day on every day of the week.
        let (from, until) = (date(2000, 1, 1), date(2040, 1, 1));
        if cron.next(from.at(0, 0, 0, 0), until.at(0, 0, 0, 0)).is_none() {
            return Err(format!("`{text}` never matches: no such month has such a day"));
        }
        Ok(cron)
    }
}

const FIELDS: &str = "five (minute, hour, day of month, month, day of week), or six with the \
                      second in front";

fn nickname(text: &str) -> Result<&'static str, String> {
    let found = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, fields)| *fields).ok_or_else(|| {
        let known: Vec<&str> = NICKNAMES.iter().map(|(name, _)| *name).collect();
        format!("`{text}` is not known: expected five fields or one of {}", known.join(", "))
    })
}

/// A field of an expression.
struct Field {
    /// What it is called.
    name: &'static str,
    min: i8,
    max: i8,
    /// Words for the numbers from `min` on.
    words: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", min: 0, max: 59, words: &[] };
const MINUTE: Field = Field { name: "minute", min: 0, max: 59, words: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, words: &[] };
const DAY: Field = Field { name: "day of month", min: 1, max: 31, words: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, words: &MONTHS };
const WEEKDAY: Field = Field { name: "day of week", min: 0, max: 7, words: &DAYS };

impl Field {
    /// Reads `*`, `5`, `1-5`, `*/10`, `1-30/5`, and lists of these.
    fn read(&self, text: &str) -> Result<Set, String> {
        let mut set = Set(0);
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(self.step(range, step)?)),
                None => (item, None),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.min, self.max),
                Some((first, last)) => self.range(first, last)?,
                None => (self.number(range)?, self.number(range)?),
            };
            let numbers = (first..=last).step_by(step.unwrap_or(1));
            set.0 |= numbers.fold(0, |bits, number| bits | 1 << number);
        }
        Ok(set)
    }

    fn range(&self, first: &str, last: &str) -> Result<(i8, i8), String> {
        let (from, mut to) = (self.number(first)?, self.number(last)?);
        // `FRI-SUN` ends with the other number of Sunday.
        if self.max == WEEKDAY.max && to == 0 {
            to = if from == 0 { 0 } else { WEEKDAY.max };
        }
        if from > to {
            return Err(format!(
                "the {} is `{first}-{last}`: expected a range that ascends; for what goes over the \
                 end write two, `{first}-{},{}-{last}`",
                self.name, self.max, self.min
            ));
        }
        Ok((from, to))
    }

    fn number(&self, text: &str) -> Result<i8, String> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        if let Some(place) = word.and_then(|place| i8::try_from(place).ok()) {
            return Ok(self.min + place);
        }
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_digits);
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| format!("the {} is `{text}`: expected {self}", self.name))
    }

    fn step(&self, range: &str, step: &str) -> Result<usize, String> {
        if range != "*" && !range.contains('-') {
            return Err(format!(
                "the {} is `{range}/{step}`: a step follows `*` or a range, such as \
                 `{range}-{}/{step}`",
                self.name, self.max
            ));
        }
        let number = step.parse().ok().filter(|number| (1..=self.max).contains(number));
        number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
            format!("the step of the {} is `{step}`: expected 1 to {}", self.name, self.max)
        })
    }
}

/// What the field takes.
impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} to {}", self.min, self.max)?;
        if let [first, .., last] = self.words {
            write!(formatter, ", or {first} to {last}")?;
        }
        if self.name == DAY.name {
            formatter.write_str(", or L for the last")?;
        }
        Ok(())
    }
}

/// As it was written.
impl fmt::Display for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, from: DateTime) -> String {
        let cron: Cron = expression.parse().unwrap();
        cron.next(from, date(2200, 1, 1).at(0, 0, 0, 0)).unwrap().to_string()
    }

    #[track_caller]
    fn refused(expression: &str, why: &str) {
        let error = expression.parse::<Cron>().unwrap_err();
        assert_eq!(error, why, "{expression}");
    }

    #[test]
    fn each_field_matches_what_it_says() {
        // A Saturday.
        let from = date(2026, 1, 31).at(8, 30, 0, 0);
        for (expression, expected) in [
            ("30 8 * * *", "2026-01-31T08:30:00"),
            ("29 8 * * *", "2026-02-01T08:29:00"),
            ("*/20 * * * *", "2026-01-31T08:40:00"),
            ("5-10/5,50 * * * *", "2026-01-31T08:50:00"),
            ("0 9-17 * * mon-FRI", "2026-02-02T09:00:00"),
            ("0 0 31 * *", "2026-03-31T00:00:00"),
            ("0 0 L * *", "2026-02-28T00:00:00"),
            ("0 0 15,L feb *", "2026-02-15T00:00:00"),
            ("0 0 29 2 *", "2028-02-29T00:00:00"),
            ("0 0 * * 7", "2026-02-01T00:00:00"),
            ("0 0 * * FRI-SUN", "2026-02-01T00:00:00"),
            ("15 30 8 * * *", "2026-01-31T08:30:15"),
            ("@hourly", "2026-01-31T09:00:00"),
            ("@yearly", "2027-01-01T00:00:00"),
        ] {
            assert_eq!(next(expression, from), expected, "{expression}");
        }
    }

    #[test]
    fn the_last_day_of_december_is_one() {
        assert_eq!(next("0 0 L * *", date(2026, 12, 1).at(0, 0, 0, 0)), "2026-12-31T00:00:00");
    }

    #[test]
    fn a_leap_day_is_found_where_a_century_leaves_one_out() {
        assert_eq!(next("0 0 29 2 *", date(2096, 3, 1).at(0, 0, 0, 0)), "2104-02-29T00:00:00");
    }

    #[test]
    fn one_of_two_days_is_enough_unless_one_begins_with_an_asterisk() {
        let from = date(2026, 1, 1).at(1, 0, 0, 0);
        // The 13th, or a Friday; then every third day that is a Friday as well.
        assert_eq!(next("0 0 13 * FRI", from), "2026-01-02T00:00:00");
        assert_eq!(next("0 0 */3 * FRI", from), "2026-01-16T00:00:00");
    }

    #[test]
    fn a_fault_names_the_field_and_what_it_takes() {
        refused("60 * * * *", "the minute is `60`: expected 0 to 59");
        refused("* -1 * * *", "the hour is ``: expected 0 to 23");
        refused("0 0 0 * *", "the day of month is `0`: expected 1 to 31, or L for the last");
        refused("0 0 * SOON *", "the month is `SOON`: expected 1 to 12, or JAN to DEC");
        refused("0 0 * * 8", "the day of week is `8`: expected 0 to 7, or SUN to SAT");
        refused("* * * * * 1,,2", "the day of week is ``: expected 0 to 7, or SUN to SAT");
        refused("*/0 * * * *", "the step of the minute is `0`: expected 1 to 59");
        refused(
            "5/15 * * * *",
            "the minute is `5/15`: a step follows `*` or a range, such as `5-59/15`",
        );
        refused(
            "0 22-4 * * *",
            "the hour is `22-4`: expected a range that ascends; for what goes over the end write \
             two, `22-23,0-4`",
        );
        refused("0 0 31 feb *", "`0 0 31 feb *` never matches: no such month has such a day");
        refused("0 0", &format!("`0 0` has 2 fields: expected {FIELDS}"));
        assert!("@reboot".parse::<Cron>().unwrap_err().contains("@hourly"));
        assert!("0 ".repeat(200).parse::<Cron>().unwrap_err().contains("at most 256"));
    }
}
