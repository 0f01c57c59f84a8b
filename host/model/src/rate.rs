//! How often something may be done: so many calls within any minute.
//!
//! It reads no clock: how long it has been is passed in, as time that never goes back. What it
//! counts, it counts in memory: each process of a host counts for itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::reader::{Reader, Section};
use crate::schema::{Key, Shape};
use crate::yaml::Node;

/// The length of a window, in seconds.
pub const WINDOW_SECONDS: u32 = 60;

/// The most keys that are counted. Of more, those that were called least recently begin anew.
pub const KEYS_MAX: usize = 10_000;

/// How many keys are forgotten together when there are too many.
const KEYS_FORGOTTEN: usize = KEYS_MAX / 10;

/// The parts that a window is counted in: those that it covers wholly, and the one that it covers
/// partly.
const PARTS: usize = WINDOW_SECONDS as usize + 1;

/// The highest limit.
pub(crate) const PER_MINUTE_MAX: u64 = 1_000_000;

/// How many calls a minute there may be: from 1 to 1,000,000, or 0 for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PerMinute(u32);

impl Default for PerMinute {
    fn default() -> Self {
        Self(60)
    }
}

impl PerMinute {
    /// Any number.
    pub const ANY: Self = Self(0);
    /// Those of an agent.
    pub const AGENT: Self = Self(120);
    /// Those of somebody who only reads.
    pub const READONLY: Self = Self(30);

    /// Reads how many. None when it is not said.
    pub(crate) fn read(reader: &mut Reader, section: &Section<'_>, key: &str) -> Option<Self> {
        let (calls, node) = (reader.number(section, key)?, section.get(key)?);
        if calls > PER_MINUTE_MAX {
            let message = format!("is {calls}, but must be from 0 to {PER_MINUTE_MAX}");
            reader.invalid(node, &section.path(key), message);
        }
        u32::try_from(calls).ok().map(Self)
    }

    /// The most calls in a minute. None for any number.
    pub fn limit(self) -> Option<u32> {
        (self.0 > 0).then_some(self.0)
    }
}

/// The keys of `rate_limits` in `policies.yaml`.
pub(crate) static KEYS: [Key; 2] = [
    Key::new("enabled", Shape::Flag, "Whether anything is limited; if not, nothing is counted.")
        .or(|| json!(true)),
    Key::new(
        "per_tool",
        Shape::Named(&Shape::Count(0, PER_MINUTE_MAX)),
        "How many tasks of a tool or executor may be submitted a minute, by its name; 0 for any \
         number.",
    )
    .like(|| json!({ "websearch": 30 })),
];

/// What is limited, whoever does it: `rate_limits` in `policies.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimits {
    /// Whether anything is limited, also of principals and roles.
    pub enabled: bool,
    /// How many tasks of a tool or executor may be submitted, by its name.
    pub per_tool: BTreeMap<String, PerMinute>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { enabled: true, per_tool: BTreeMap::new() }
    }
}

impl RateLimits {
    pub(crate) fn read(reader: &mut Reader, node: &Node) -> Option<Self> {
        let section = reader.object(node, "rate_limits", &KEYS)?;
        let enabled = section.get("enabled").is_none() || reader.flag(&section, "enabled");
        let per_tool = section.get("per_tool").map(|tools| Self::read_tools(reader, tools));
        Some(Self { enabled, per_tool: per_tool.unwrap_or_default() })
    }

    fn read_tools(reader: &mut Reader, tools: &Node) -> BTreeMap<String, PerMinute> {
        const PATH: &str = "rate_limits.per_tool";
        let names: Vec<&str> =
            reader.named(tools, PATH).into_iter().map(|(name, ..)| name).collect();
        if names.is_empty() {
            return BTreeMap::new();
        }
        let Some(tools) = reader.section(tools, PATH, &names) else { return BTreeMap::new() };
        let limit = |name: &str| Some((name.to_owned(), PerMinute::read(reader, &tools, name)?));
        names.into_iter().filter_map(limit).collect()
    }
}

/// Whose calls are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Those of one principal.
    Principal(String),
    /// Those of all principals of one role.
    Role(String),
    /// The tasks of one tool or executor, whoever submits them.
    Tool(String),
}

impl Counted {
    /// The word on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Principal(_) => "principal",
            Self::Role(_) => "role",
            Self::Tool(_) => "tool",
        }
    }
}

/// A wish to do something so often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What it counts for.
    pub counted: Counted,
    /// How often, from 1.
    pub calls: u32,
    /// The most calls in a minute, from 1.
    pub limit: u32,
}

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// `principal`, `role` or `tool`.
    pub kind: &'static str,
    /// The most calls in a minute.
    pub limit: u32,
    /// How many more there may be now.
    pub remaining: u32,
    /// In how many seconds there may be more than that: from 1 to 61, or 0 when none is counted.
    pub reset: u32,
}

/// That something was done too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMany {
    /// Whose calls are too many.
    pub counted: Counted,
    /// How much of its limit is left.
    pub standing: Standing,
    /// In how many seconds the same may be done, from 1 to 61. None when it is more than the limit,
    /// and can never be.
    pub retry_after: Option<u32>,
}

impl fmt::Display for TooMany {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.standing.limit;
        match (&self.counted, self.retry_after) {
            (Counted::Principal(name), _) => {
                write!(formatter, "`{name}` may send {limit} requests a minute")
            }
            (Counted::Role(name), _) => {
                write!(formatter, "all who act as `{name}` may send {limit} requests a minute")
            }
            (Counted::Tool(name), Some(_)) => {
                write!(formatter, "{limit} tasks of `{name}` may be submitted a minute")
            }
            (Counted::Tool(name), None) => write!(
                formatter,
                "it has more tasks of `{name}` than the {limit} that may be submitted a minute"
            ),
        }
    }
}

/// What was done within the last minute.
///
/// A window is counted in parts of a second, and a part counts as long as any of it is within the
/// last minute. So there are never more calls than the limit in any 60 seconds, wherever they begin;
/// and a call counts for at most 61 seconds. A key takes about 300 bytes, however high its limit, and
/// [`KEYS_MAX`] are counted.
#[derive(Debug, Default)]
pub struct Windows(HashMap<Counted, Window>);

impl Windows {
    /// Counts all of these, or none: when one is too many, nothing was done.
    ///
    /// # Errors
    ///
    /// The one that would have to wait longest.
    pub fn take(&mut self, wishes: &[Wish], now: Duration) -> Result<Vec<Standing>, TooMany> {
        let now = now.as_millis();
        let mut worst: Option<TooMany> = None;
        let empty = Window::default();
        for wish in wishes {
            let window = match self.0.get_mut(&wish.counted) {
                Some(window) => {
                    window.asked = now;
                    &*window
                }
                None => &empty,
            };
            if window.count(now).saturating_add(wish.calls) <= wish.limit {
                continue;
            }
            let refused = TooMany {
                counted: wish.counted.clone(),
                standing: window.standing(wish, now),
                retry_after: window.free_in(wish.calls, wish.limit, now),
            };
            // For ever is longest.
            let wait = |too_many: &TooMany| too_many.retry_after.unwrap_or(u32::MAX);
            if worst.as_ref().is_none_or(|worst| wait(worst) < wait(&refused)) {
                worst = Some(refused);
            }
        }
        if let Some(worst) = worst {
            return Err(worst);
        }
        let take = |wish: &Wish| {
            let window = self.window(&wish.counted, now);
            window.asked = now;
            window.add(wish.calls, now);
            window.standing(wish, now)
        };
        Ok(wishes.iter().map(take).collect())
    }

    fn window(&mut self, counted: &Counted, now: u128) -> &mut Window {
        if self.0.len() >= KEYS_MAX && !self.0.contains_key(counted) {
            self.forget(now);
        }
        self.0.entry(counted.clone()).or_default()
    }

    /// Forgets whose calls count no more, and then, where that is not enough, who asked least
    /// recently.
    fn forget(&mut self, now: u128) {
        self.0.retain(|_, window| window.count(now) > 0);
        if self.0.len() <= KEYS_MAX - KEYS_FORGOTTEN {
            return;
        }
        let mut asked: Vec<u128> = self.0.values().map(|window| window.asked).collect();
        let (_, oldest, _) = asked.select_nth_unstable(KEYS_FORGOTTEN);
        let oldest = *oldest;
        let mut room = self.0.len().saturating_sub(KEYS_MAX - KEYS_FORGOTTEN);
        self.0.retain(|_, window| {
            let goes = room > 0 && window.asked <= oldest;
            room -= usize::from(goes);
            !goes
        });
    }
}

/// The calls of the last minute, by the second.
#[derive(Debug, Clone)]
struct Window {
    /// The calls of each second, at its number modulo their count.
    parts: [u32; PARTS],
    /// The last second that has calls.
    last: u128,
    /// When it was asked last, in milliseconds, whatever was answered.
    asked: u128,
}

impl Default for Window {
    fn default() -> Self {
        Self { parts: [0; PARTS], last: 0, asked: 0 }
    }
}

impl Window {
    /// The seconds that count at `now` in milliseconds, the oldest first, with their calls.
    fn counting(&self, now: u128) -> impl Iterator<Item = (u128, u32)> {
        let current = now / 1_000;
        let oldest = current.saturating_sub(PARTS as u128 - 1);
        // What is older than the last second by a whole round was written over.
        let known = self.last.saturating_sub(PARTS as u128 - 1);
        (oldest.max(known)..=current.min(self.last))
            .map(|second| (second, self.parts[Self::place(second)]))
    }

    fn place(second: u128) -> usize {
        usize::try_from(second % PARTS as u128).unwrap_or_default()
    }

    fn count(&self, now: u128) -> u32 {
        self.counting(now).fold(0, |sum, (_, calls)| sum.saturating_add(calls))
    }

    fn add(&mut self, calls: u32, now: u128) {
        let current = now / 1_000;
        for second in (self.last + 1..=current).take(PARTS) {
            self.parts[Self::place(second)] = 0;
        }
        self.last = self.last.max(current);
        let part = &mut self.parts[Self::place(self.last)];
        *part = part.saturating_add(calls);
    }

    fn standing(&self, wish: &Wish, now: u128) -> Standing {
        let first = self.counting(now).find(|(_, calls)| *calls > 0);
        Standing {
            kind: wish.counted.kind(),
            limit: wish.limit,
            remaining: wish.limit.saturating_sub(self.count(now)),
            reset: first.map_or(0, |(second, _)| Self::leaves_in(second, now)),
        }
    }

    /// In how many seconds there is room for so many calls. None when there never is.
    fn free_in(&self, calls: u32, limit: u32, now: u128) -> Option<u32> {
        let mut left = self.count(now);
        let room = limit.checked_sub(calls)?;
        for (second, counted) in self.counting(now) {
            left = left.saturating_sub(counted);
            if left <= room {
                return Some(Self::leaves_in(second, now));
            }
        }
        Some(1)
    }

    /// In how many seconds, rounded up, a second counts no more.
    fn leaves_in(second: u128, now: u128) -> u32 {
        let at = (second + PARTS as u128) * 1_000;
        u32::try_from(at.saturating_sub(now).div_ceil(1_000)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish(name: &str, calls: u32, limit: u32) -> Wish {
        Wish { counted: Counted::Principal(name.to_owned()), calls, limit }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn may(windows: &mut Windows, at: u64) -> bool {
        windows.take(&[wish("ada", 1, 3)], ms(at)).is_ok()
    }

    #[test]
    fn a_call_counts_for_a_minute_and_not_for_more_than_a_second_longer() {
        let mut windows = Windows::default();
        for at in [100_500, 100_999, 101_000] {
            assert!(may(&mut windows, at));
        }
        // A minute after the first is 160,500: its second still counts then.
        for at in [101_001, 160_499, 160_500, 160_999] {
            assert!(!may(&mut windows, at), "{at}");
        }
        assert!(may(&mut windows, 161_000), "both calls of its second have left");
        assert!(may(&mut windows, 161_001));
        assert!(!may(&mut windows, 161_999));
        assert!(may(&mut windows, 162_000), "the one of the next second has left");
    }

    #[test]
    fn what_was_refused_does_not_count() {
        let mut windows = Windows::default();
        assert!((0..3).all(|_| may(&mut windows, 0)));
        assert!((0..60).all(|second| !may(&mut windows, second * 1_000 + 999)));
        assert!((0..3).all(|_| may(&mut windows, 61_000)));
    }

    #[test]
    fn what_is_left_and_when_there_is_more_is_said() {
        let mut windows = Windows::default();
        let take =
            |windows: &mut Windows, calls, at| windows.take(&[wish("ada", calls, 5)], ms(at));
        let first = take(&mut windows, 2, 10_250).unwrap()[0];
        assert_eq!((first.limit, first.remaining, first.reset), (5, 3, 61));
        let second = take(&mut windows, 3, 20_000).unwrap()[0];
        assert_eq!((second.remaining, second.reset), (0, 51));
        let refused = take(&mut windows, 1, 30_001).unwrap_err();
        assert_eq!((refused.standing.remaining, refused.retry_after), (0, Some(41)));
        assert_eq!(take(&mut windows, 3, 30_001).unwrap_err().retry_after, Some(51));
        assert_eq!(take(&mut windows, 6, 30_001).unwrap_err().retry_after, None);
        assert!(take(&mut windows, 1, 30_001 + 41_000).is_ok());
    }

    #[test]
    fn of_several_limits_all_count_or_none() {
        let mut windows = Windows::default();
        let tool = |calls| Wish { counted: Counted::Tool("dns".to_owned()), calls, limit: 2 };
        assert!(windows.take(&[wish("ada", 1, 3), tool(2)], ms(0)).is_ok());
        let refused = windows.take(&[wish("ada", 1, 3), tool(1)], ms(0)).unwrap_err();
        assert_eq!(refused.counted, Counted::Tool("dns".to_owned()));
        let left = windows.take(&[wish("ada", 1, 3)], ms(0)).unwrap();
        assert_eq!(left[0].remaining, 1, "the refused call did not count for its principal");
    }

    #[test]
    fn a_million_principals_take_no_more_room_than_the_first_thousands() {
        let mut windows = Windows::default();
        for n in 0..1_000_000_u64 {
            let name = format!("p{n}");
            assert!(windows.take(&[wish(&name, 1, 3)], ms(n / 1_000)).is_ok());
            assert!(windows.0.len() <= KEYS_MAX);
        }
        assert!(windows.0.contains_key(&Counted::Principal("p999999".to_owned())));
        assert!(size_of::<Window>() <= 300, "{}", size_of::<Window>());
    }

    #[test]
    fn who_calls_all_the_time_is_not_forgotten_for_those_who_do_not() {
        let mut windows = Windows::default();
        for n in 0..30_000_u64 {
            let at = n * 2;
            drop(windows.take(&[wish("often", 1, 3)], ms(at)));
            assert!(windows.take(&[wish(&format!("p{n}"), 1, 3)], ms(at)).is_ok());
        }
        let refused = windows.take(&[wish("often", 1, 3)], ms(59_999));
        assert!(refused.is_err(), "it has called three times at the beginning");
    }

    proptest! {
        /// Against a list of every call, by the millisecond.
        #[test]
        fn no_sixty_seconds_hold_more_calls_than_the_limit(
            waits in prop::collection::vec(0_u64..15_000, 1..200),
            limit in 1_u32..6,
        ) {
            let (mut windows, mut now) = (Windows::default(), 0);
            let mut taken: Vec<u64> = Vec::new();
            for wait in waits {
                now += wait;
                let within = |span: u64| {
                    taken.iter().filter(|at| now - **at < span).count()
                };
                let (exact, longer) = (within(60_000), within(61_000));
                let answer = windows.take(&[wish("ada", 1, limit)], ms(now));
                match answer {
                    Ok(_) => prop_assert!(exact < limit as usize, "{now}: {taken:?}"),
                    Err(_) => prop_assert!(longer >= limit as usize, "{now}: {taken:?}"),
                }
                if answer.is_ok() {
                    taken.push(now);
                }
            }
        }

        #[test]
        fn after_the_time_to_wait_there_is_room(
            waits in prop::collection::vec(0_u64..9_000, 1..60),
            calls in 1_u32..4,
        ) {
            let (mut windows, mut now) = (Windows::default(), 0);
            for wait in waits {
                now += wait;
                if let Err(refused) = windows.take(&[wish("ada", calls, 4)], ms(now)) {
                    let wait = u64::from(refused.retry_after.unwrap());
                    prop_assert!((1..=61).contains(&wait));
                    now += wait * 1_000;
                    prop_assert!(windows.take(&[wish("ada", calls, 4)], ms(now)).is_ok());
                }
            }
        }
    }
}
