//! Guesses at tokens: how somebody who shows wrong ones is slowed down.
//!
//! It waits for nobody and reads no clock: the door does. It counts wrong tokens alone, so that who
//! shows a good one is not held up by others behind the same address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde::Deserialize;

use crate::clock::Timestamp;

/// Over which span wrong tokens are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// How many addresses are remembered. An address takes up to about 100 bytes.
const ADDRESSES_MAX: usize = 10_000;

/// How many wrong tokens an address may show in a minute: 2 to 1,000,000, and 20 without another
/// word. The first half of them is answered at once, the other slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct GuessesPerMinute(u32);

impl Default for GuessesPerMinute {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<u32> for GuessesPerMinute {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        let is_right = (2..=1_000_000).contains(&number);
        is_right.then_some(Self(number)).ok_or(format!("{number} is not from 2 to 1000000"))
    }
}

/// How a wrong token is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    AtOnce,
    /// After a while.
    Slowly,
    /// Not at all: there were too many. When the next is looked at.
    NotBefore(Duration),
}

/// Who showed wrong tokens, and how many.
///
/// The count of the window that slides is that of the present minute, and of the one before as much
/// as still reaches into the window: it is never more than a minute's guesses off, and takes the
/// same room whatever comes.
#[derive(Debug)]
pub struct Guesses {
    most: GuessesPerMinute,
    by_address: HashMap<IpAddr, Counts>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    began: Timestamp,
    before: u32,
    present: u32,
}

impl Guesses {
    /// Nobody, yet.
    pub fn new(most: GuessesPerMinute) -> Self {
        Self { most, by_address: HashMap::new() }
    }

    /// Counts a wrong token from an address, and says how it is answered.
    pub fn count(&mut self, address: IpAddr, now: Timestamp) -> Pace {
        let address = network(address);
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            self.make_room(now);
        }
        let start = Counts { began: now, before: 0, present: 0 };
        let counts = self.by_address.entry(address).or_insert(start);
        *counts = counts.at(now);
        let most = self.most.0;
        if counts.sum(now) >= f64::from(most) {
            return Pace::NotBefore(counts.wait(most, now));
        }
        counts.present += 1;
        if counts.sum(now) > f64::from(most) / 2.0 { Pace::Slowly } else { Pace::AtOnce }
    }

    /// Forgets whose guesses are past, or, when all are fresh, who guessed the longest time ago.
    fn make_room(&mut self, now: Timestamp) {
        self.by_address.retain(|_, counts| now.since(counts.began) < WINDOW * 2);
        if self.by_address.len() >= ADDRESSES_MAX {
            let oldest = self.by_address.iter().min_by_key(|(_, counts)| counts.began);
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Counts {
    /// The same in the minute of this moment.
    fn at(self, now: Timestamp) -> Self {
        match now.since(self.began) {
            past if past < WINDOW => self,
            past if past < WINDOW * 2 => {
                Self { began: self.began.after(WINDOW), before: self.present, present: 0 }
            }
            _ => Self { began: now, before: 0, present: 0 },
        }
    }

    /// How many are in the window.
    fn sum(self, now: Timestamp) -> f64 {
        let left = 1.0 - (now.since(self.began).as_secs_f64() / WINDOW.as_secs_f64()).min(1.0);
        f64::from(self.before) * left + f64::from(self.present)
    }

    /// When there will be fewer than `most`.
    fn wait(self, most: u32, now: Timestamp) -> Duration {
        let rest = WINDOW.saturating_sub(now.since(self.began));
        let window = WINDOW.as_secs_f64();
        let (most, before, present) =
            (f64::from(most), f64::from(self.before), f64::from(self.present));
        let wait = if present < most {
            // Of the minute before, enough has to leave the window.
            rest.as_secs_f64() - window * ((most - present) / before.max(1.0)).min(1.0)
        } else {
            // The minute ends first, and then enough of it has to leave.
            rest.as_secs_f64() + window * (1.0 - most / present.max(1.0))
        };
        Duration::from_secs_f64(wait.clamp(0.0, 2.0 * window))
    }
}

/// Whom an address stands for: with IPv6, everybody has a /64 to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1_000)
    }

    fn four() -> Guesses {
        Guesses::new(GuessesPerMinute(4))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fill(guesses: &mut Guesses, peer: IpAddr, second: i64) {
        for _ in 0..4 {
            guesses.count(peer, at(second));
        }
    }

    #[test]
    fn who_goes_on_guessing_is_slowed_down_and_then_refused() {
        let (mut guesses, peer) = (four(), address("192.0.2.1"));
        let paces: Vec<_> = (0..5).map(|_| guesses.count(peer, at(0))).collect();
        let refused = Pace::NotBefore(Duration::from_mins(1));
        assert_eq!(paces, [Pace::AtOnce, Pace::AtOnce, Pace::Slowly, Pace::Slowly, refused]);
        assert_eq!(guesses.count(address("192.0.2.2"), at(0)), Pace::AtOnce, "another address");
    }

    #[test]
    fn the_window_slides() {
        let (mut guesses, peer) = (four(), address("192.0.2.1"));
        fill(&mut guesses, peer, 0);
        assert_eq!(guesses.count(peer, at(59)), Pace::NotBefore(Duration::from_secs(1)));
        // At the edge all four are still in it, and a quarter of a minute later three.
        assert!(matches!(guesses.count(peer, at(60)), Pace::NotBefore(_)));
        assert_eq!(guesses.count(peer, at(75)), Pace::Slowly);
        assert_eq!(guesses.count(peer, at(75)), Pace::NotBefore(Duration::ZERO));
        assert_eq!(guesses.count(peer, at(300)), Pace::AtOnce);
    }

    #[test]
    fn what_it_says_of_the_wait_is_so() {
        let peer = address("192.0.2.1");
        for start in [0, 17, 44, 59, 60] {
            let mut guesses = four();
            fill(&mut guesses, peer, 0);
            let Pace::NotBefore(wait) = guesses.count(peer, at(start)) else {
                panic!("{start}: there were too many");
            };
            let before = at(start).after(wait).before(Duration::from_millis(5));
            assert!(matches!(guesses.count(peer, before), Pace::NotBefore(_)), "{start}: {wait:?}");
            let then = at(start).after(wait + Duration::from_millis(5));
            assert_eq!(guesses.count(peer, then), Pace::Slowly, "{start}: {wait:?}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser_and_a_mapped_address_is_that_of_ipv4() {
        let mut guesses = four();
        for peer in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:3", "2001:db8::4"] {
            guesses.count(address(peer), at(0));
        }
        assert!(matches!(guesses.count(address("2001:db8::5"), at(0)), Pace::NotBefore(_)));
        assert_eq!(guesses.count(address("2001:db8:0:1::5"), at(0)), Pace::AtOnce);
        guesses.count(address("192.0.2.1"), at(0));
        guesses.count(address("::ffff:192.0.2.1"), at(0));
        assert_eq!(guesses.count(address("192.0.2.1"), at(0)), Pace::Slowly);
    }

    #[test]
    fn any_number_of_guessers_takes_bounded_room() {
        let mut guesses = four();
        let peer = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..10_100 {
            guesses.count(peer(n), at(i64::from(n / 1_000)));
            assert!(guesses.by_address.len() <= ADDRESSES_MAX);
        }
        assert_eq!(guesses.count(peer(10_099), at(20)), Pace::AtOnce);
        assert_eq!(guesses.count(peer(10_099), at(20)), Pace::Slowly, "the last are remembered");
    }

    #[test]
    fn a_clock_that_goes_back_lets_nobody_guess_freely() {
        let (mut guesses, peer) = (four(), address("192.0.2.1"));
        fill(&mut guesses, peer, 100);
        assert!(matches!(guesses.count(peer, at(0)), Pace::NotBefore(_)));
    }
}
