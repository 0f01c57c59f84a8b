//! A page of metrics: families of numbers, each with what it is. How a page is written is said in
//! `text.rs`, and by whoever sends it.

use crate::metric::{Distribution, Histogram};

/// A page of metrics.
///
/// # Examples
///
/// ```
/// use apflow_model::metric::{Format, Page};
///
/// let mut page = Page::default();
/// page.counter("apflow_things_total", "Things that were seen.").show(&[("kind", "odd")], 3_u64);
/// let text = page.text(Format::Prometheus);
/// assert!(text.ends_with("# TYPE apflow_things_total counter\napflow_things_total{kind=\"odd\"} 3\n"));
/// ```
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

/// Numbers of one name on a page, told apart by labels.
#[derive(Debug)]
pub struct Family {
    /// Their name.
    pub name: &'static str,
    /// How they go.
    pub kind: Kind,
    /// What they are, as a sentence.
    pub help: &'static str,
    /// They themselves.
    pub points: Vec<Point>,
}

/// How numbers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow, from zero at the start of the process.
    Counter,
    /// They only grow, and were there before the process: the database holds them.
    StoredCounter,
    /// They go up and down.
    Gauge,
    /// Each is a [`Histogram`].
    Histogram,
}

/// One number of a family.
#[derive(Debug)]
pub struct Point {
    /// What tells it apart.
    pub labels: Vec<Label>,
    /// The number.
    pub value: Value,
}

/// The name of a label, and its value.
pub type Label = (&'static str, String);

/// What a point shows.
#[derive(Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(Number),
    /// What a histogram counted.
    Distribution(Distribution),
}

/// A number of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole one.
    Whole(i64),
    /// One that may have a fraction.
    Real(f64),
}

impl Page {
    /// Begins a family of numbers that only grow. Its name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Kind::Counter, help)
    }

    /// Begins a family of numbers that only grow and that the database holds.
    pub fn stored_counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Kind::StoredCounter, help)
    }

    /// Begins a family of numbers that go up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Kind::Gauge, help)
    }

    /// Begins a family of histograms.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Kind::Histogram, help)
    }

    /// All of them, in their order.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Family {
        self.families.push_mut(Family { name, kind, help, points: Vec::new() })
    }
}

impl Family {
    /// Shows a number.
    pub fn show(
        &mut self,
        labels: &[(&'static str, &str)],
        number: impl Into<Number>,
    ) -> &mut Self {
        self.add(labels, Value::Number(number.into()))
    }

    /// Shows a histogram.
    pub fn show_all(
        &mut self,
        labels: &[(&'static str, &str)],
        histogram: &Histogram,
    ) -> &mut Self {
        self.add(labels, Value::Distribution(histogram.read()))
    }

    fn add(&mut self, labels: &[(&'static str, &str)], value: Value) -> &mut Self {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.points.push(Point { labels, value });
        self
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        // What is larger takes longer to count than any host lives.
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Number {
    fn from(is_so: bool) -> Self {
        Self::Whole(is_so.into())
    }
}
