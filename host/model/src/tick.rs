//! When a cron expression ticks in a time zone, summer time and all.
//!
//! An expression that names hours ticks once for every time of day that it names. When clocks go
//! forward over such a time, it ticks as much later as they go forward: 02:30 is 03:30 that day, as
//! in RFC 5545. When clocks go back, it ticks the first time of two.
//!
//! An expression that matches in every hour says how often, so it ticks whenever clocks show a time
//! that it matches: not at times that are left out, and twice at times that are shown twice.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp as Moment};

use crate::clock::Timestamp;
use crate::cron::Cron;
use crate::zone::Zone;

/// How far ahead a tick is looked for: longer than any two leap days on the same day of the week
/// are apart.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(50 * 366 * 24);

/// The shortest time between two ticks.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The first tick after a moment. None when there is none in the next fifty years, or before the
/// end of the calendar, which is the year 9999.
pub fn next_after(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
    let whole = Moment::from_second(after.unix_ms().div_euclid(1_000)).ok()?;
    let mut from = whole.checked_add(SECOND).ok()?;
    let end = from.checked_add(AHEAD_MAX).ok()?;
    while from < end {
        let stretch = Stretch::from(cron, &zone.0, from, end);
        if let Some(tick) = stretch.next(cron, from) {
            return Some(Timestamp::from_unix_ms(tick.as_millisecond()));
        }
        from = stretch.until;
    }
    None
}

/// A time in which clocks neither go forward nor back.
struct Stretch {
    /// When it ends.
    until: Moment,
    /// The offsets by which the time of day is compared: none while clocks repeat a time, and also
    /// the one of before while they have left one out.
    offsets: [Option<Offset>; 2],
}

impl Stretch {
    /// The stretch that `from` is in. It does not go on after `end`.
    fn from(cron: &Cron, zone: &TimeZone, from: Moment, end: Moment) -> Self {
        let until = zone.following(from).next().map_or(end, |next| next.timestamp().min(end));
        let offset = zone.to_offset(from);
        let usual = Self { until, offsets: [Some(offset), None] };
        // A moment that is itself a change belongs to what comes after it.
        let change = from.checked_add(SECOND).ok().and_then(|next| zone.preceding(next).next());
        let Some(change) = change.filter(|_| !cron.is_every_hour()) else { return usual };
        let before = change.timestamp().checked_sub(SECOND).map(|last| zone.to_offset(last));
        let Ok(before) = before else { return usual };
        let shift = SignedDuration::from_secs((offset.seconds() - before.seconds()).into());
        match change.timestamp().checked_add(shift.abs()) {
            Ok(settled) if from < settled => Self {
                until: until.min(settled),
                offsets: if shift.is_positive() { [Some(before), Some(offset)] } else { [None; 2] },
            },
            _ => usual,
        }
    }

    fn next(&self, cron: &Cron, from: Moment) -> Option<Moment> {
        let next = |offset: &Offset| {
            let found = cron.next(offset.to_datetime(from), offset.to_datetime(self.until))?;
            offset.to_timestamp(found).ok()
        };
        self.offsets.iter().flatten().filter_map(next).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn moment(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    /// The next ticks, as the clocks of the zone show them, with their offset.
    fn ticks(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (cron, zone): (Cron, Zone) = (cron.parse().unwrap(), zone.parse().unwrap());
        let next = |last: &Timestamp| next_after(&cron, &zone, *last);
        let ticks = std::iter::successors(next(&moment(after)), next).take(count);
        let shown = ticks.map(|tick| {
            let tick = Moment::from_millisecond(tick.unix_ms()).unwrap();
            tick.to_zoned(zone.0.clone()).strftime("%m-%dT%H:%M%:z").to_string()
        });
        shown.collect()
    }

    // Berlin: clocks went from 02:00 to 03:00 on 2026-03-29 and from 03:00 to 02:00 on 2026-10-25.

    #[test]
    fn a_time_that_clocks_leave_out_ticks_as_much_later_as_they_go_forward() {
        let shown = ticks("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3);
        assert_eq!(shown, ["03-28T02:30+01:00", "03-29T03:30+02:00", "03-30T02:30+02:00"]);
        // Both at one moment are one tick.
        let shown = ticks("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
        assert_eq!(shown, ["03-29T03:00+02:00", "03-30T02:00+02:00"]);
        // What was left out does not get lost when it is asked for after the change.
        let shown = ticks("30 2 * * *", "Europe/Berlin", "2026-03-29T01:10:00Z", 1);
        assert_eq!(shown, ["03-29T03:30+02:00"]);
        let shown = ticks("30 2 29 3 *", "Europe/Berlin", "2026-01-01T00:00:00Z", 1);
        assert_eq!(shown, ["03-29T03:30+02:00"]);
    }

    #[test]
    fn a_time_that_clocks_repeat_ticks_once_the_first_time() {
        let shown = ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(shown, ["10-25T02:30+02:00", "10-26T02:30+01:00"]);
        // Between the two, and at the change itself.
        for after in ["2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"] {
            let shown = ticks("0 2,3 * * *", "Europe/Berlin", after, 1);
            assert_eq!(shown, ["10-25T03:00+01:00"], "{after}");
        }
    }

    #[test]
    fn every_hour_is_every_hour_that_passes() {
        let shown = ticks("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", 3);
        assert_eq!(shown, ["03-29T01:00+01:00", "03-29T03:00+02:00", "03-29T04:00+02:00"]);
        let shown = ticks("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3);
        assert_eq!(shown, ["10-25T02:00+02:00", "10-25T02:00+01:00", "10-25T03:00+01:00"]);
        let shown = ticks("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:10:00Z", 4);
        let expected =
            ["10-25T02:30+02:00", "10-25T02:00+01:00", "10-25T02:30+01:00", "10-25T03:00+01:00"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn zones_that_change_by_half_an_hour_at_midnight_or_by_a_day_are_right_as_well() {
        // Lord Howe goes from 02:00 to 02:30 on 2026-10-04.
        let shown = ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);
        assert_eq!(shown, ["10-04T02:45+11:00", "10-05T02:15+11:00"]);
        // Cairo goes from 00:00 to 01:00 on 2026-04-24.
        let shown = ticks("0 0 * * *", "Africa/Cairo", "2026-04-23T00:00:00Z", 2);
        assert_eq!(shown, ["04-24T01:00+03:00", "04-25T00:00+03:00"]);
        // Apia had no 2011-12-30.
        let shown = ticks("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3);
        assert_eq!(shown, ["12-29T12:00-10:00", "12-31T12:00+14:00", "01-01T12:00+14:00"]);
    }

    #[test]
    fn a_zone_without_summer_time_and_utc_tick_at_the_same_time_all_year() {
        let shown = ticks("30 2 L * *", "Asia/Kolkata", "2026-02-01T00:00:00Z", 2);
        assert_eq!(shown, ["02-28T02:30+05:30", "03-31T02:30+05:30"]);
        let shown = ticks("0 0 29 2 *", "UTC", "2026-02-01T00:00:00Z", 2);
        assert_eq!(shown, ["02-29T00:00+00:00", "02-29T00:00+00:00"]);
    }

    #[test]
    fn a_tick_is_later_than_what_it_comes_after_by_less_than_a_second_even() {
        let (cron, zone) = ("* * * * * *".parse().unwrap(), Zone::default());
        let after = |unix_ms| next_after(&cron, &zone, Timestamp::from_unix_ms(unix_ms));
        assert_eq!(after(999), Some(Timestamp::from_unix_ms(1_000)));
        assert_eq!(after(1_000), Some(Timestamp::from_unix_ms(2_000)));
        assert_eq!(after(-1), Some(Timestamp::from_unix_ms(0)));
        assert_eq!(after(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn the_next_tick_is_near_and_the_same_from_every_moment_before_it(
            start in 1_767_225_600_i64..1_798_761_600,
            minutes in 0..60_i64,
            hour in 0..24_i64,
            named: bool,
        ) {
            let zone: Zone = "America/New_York".parse().unwrap();
            let hours = if named { hour.to_string() } else { "*".to_owned() };
            let cron: Cron = format!("{minutes} {hours} * * *").parse().unwrap();
            let after = Timestamp::from_unix_ms(start * 1_000);
            let tick = next_after(&cron, &zone, after).unwrap();
            prop_assert!(tick > after);
            // A day may have 25 hours.
            let most = if named { 25 * 3_600 } else { 3_600 };
            prop_assert!(tick.since(after).as_secs() <= most, "{after} {tick}");
            let between = Timestamp::from_unix_ms(i64::midpoint(after.unix_ms(), tick.unix_ms()));
            prop_assert_eq!(next_after(&cron, &zone, between).unwrap(), tick);
        }
    }
}
