//! What a host counts while it works: counters, gauges and histograms, and the page that shows them.
//!
//! Counting takes no lock and waits for nobody. It decides nothing, and knows no clock and no door.

mod names;
mod page;
mod text;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

pub use names::ByName;
pub use page::{Family, Kind, Label, Number, Page, Point, Value};
pub use text::Format;

/// A number that only grows, from zero at the start of the process.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are of something at present.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more, until the answer is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// How many there are.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of those that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The upper ends of the buckets of [`Histogram::of_times`], in microseconds: 100 µs to 1 h.
const TIMES_US: [u64; 19] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
];

/// The upper ends of the buckets of [`Histogram::of_sizes`].
const SIZES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

/// How often something was how large.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// How many of its units are one of the unit that is shown.
    units: u64,
    /// One for each bound, and one for what is larger than all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Of how long something took. It is shown in seconds.
    pub fn of_times() -> Self {
        Self::new(&TIMES_US, 1_000_000)
    }

    /// Of how many there were of something at once.
    pub fn of_sizes() -> Self {
        Self::new(&SIZES, 1)
    }

    fn new(bounds: &'static [u64], units: u64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, units, buckets, sum: AtomicU64::new(0) }
    }

    /// Counts something that took so long, exact to the microsecond.
    pub fn took(&self, time: Duration) {
        self.observe(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts something of this size.
    pub fn observe(&self, size: u64) {
        let place = self.bounds.partition_point(|bound| *bound < size);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(size, Ordering::Relaxed);
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.load(Ordering::Relaxed) == 0)
    }

    /// What was counted so far.
    pub fn read(&self) -> Distribution {
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let sum = self.sum.load(Ordering::Relaxed);
        Distribution { bounds: self.bounds, units: self.units, buckets, sum }
    }
}

/// What a histogram had counted at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    bounds: &'static [u64],
    units: u64,
    buckets: Vec<u64>,
    sum: u64,
}

impl Distribution {
    /// The upper ends of all buckets but the last, in the unit that is shown, as decimal fractions.
    pub fn bounds(&self) -> impl Iterator<Item = String> + '_ {
        self.bounds.iter().map(|bound| self.shown(*bound))
    }

    /// How many there were in each bucket. The last holds what is larger than all bounds.
    pub fn buckets(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().copied()
    }

    /// How large all were together, as a decimal fraction.
    pub fn sum(&self) -> String {
        self.shown(self.sum)
    }

    fn shown(&self, number: u64) -> String {
        let (whole, part) = (number / self.units, number % self.units);
        let text = format!("{whole}.{part:06}");
        let text = text.trim_end_matches('0');
        if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_large_as_a_bound_is_below_it() {
        let histogram = Histogram::of_times();
        for us in [0, 100, 101, 3_600_000_001] {
            histogram.took(Duration::from_micros(us));
        }
        let counted = histogram.read();
        let of = |bound: &str| {
            let place = counted.bounds().position(|known| known == bound).unwrap();
            counted.buckets().nth(place).unwrap()
        };
        assert_eq!((of("0.0001"), of("0.00025"), of("3600.0")), (2, 1, 0));
        assert_eq!(counted.buckets().last(), Some(1), "what is larger than all bounds");
        assert_eq!(counted.sum(), "3600.000202");
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let gauge = Gauge::default();
        let (one, other) = (gauge.hold(), gauge.hold());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert_eq!(gauge.get(), 1);
        drop(other);
        assert_eq!(gauge.get(), 0);
    }
}
