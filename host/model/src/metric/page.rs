//! A page of metrics, in the text format of Prometheus or that of `OpenMetrics`.

use std::fmt::{Display, Write};

use crate::metric::Histogram;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The media type of such a page.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page of metrics that is being written.
///
/// # Examples
///
/// ```
/// use apflow_model::metric::{Format, Page};
///
/// let mut page = Page::new(Format::Prometheus);
/// page.counter("apflow_things_total", "Things that were seen.").show(&[("kind", "odd")], 3);
/// let text = page.finish();
/// assert!(text.ends_with("# TYPE apflow_things_total counter\napflow_things_total{kind=\"odd\"} 3\n"));
/// ```
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a family of numbers that only grow. Its name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// Begins a family of numbers that go up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Begins a family of histograms.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // In `OpenMetrics` the name of a counter's family lacks what its samples end with.
        let of_family = match self.format {
            Format::Prometheus => name,
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        };
        self.write(format_args!("# HELP {of_family} {help}\n# TYPE {of_family} {kind}\n"));
        Family { page: self, name }
    }

    /// The text of the page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a text does not fail.
        self.text.write_fmt(text).unwrap_or_default();
    }
}

/// Numbers of one name on a page, told apart by labels.
#[derive(Debug)]
pub struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Family<'_> {
    /// Shows a number.
    pub fn show(&mut self, labels: &[(&str, &str)], number: impl Display) -> &mut Self {
        let (name, labels) = (self.name, shown(labels.iter().copied()));
        self.page.write(format_args!("{name}{labels} {number}\n"));
        self
    }

    /// Shows a histogram.
    pub fn show_all(&mut self, labels: &[(&str, &str)], histogram: &Histogram) -> &mut Self {
        let name = self.name;
        let mut count = 0;
        for (bound, below) in histogram.cumulated() {
            let bound = bound.as_deref().unwrap_or("+Inf");
            let labels = shown(labels.iter().copied().chain([("le", bound)]));
            self.page.write(format_args!("{name}_bucket{labels} {below}\n"));
            count = below;
        }
        let (labels, sum) = (shown(labels.iter().copied()), histogram.sum());
        self.page.write(format_args!("{name}_sum{labels} {sum}\n{name}_count{labels} {count}\n"));
        self
    }
}

fn shown<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<_> =
        labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.counter("a_total", "Some.").show(&[], 2);
        page.gauge("b", "Others.").show(&[("of", "a \"b\"\\\n"), ("in", "c")], 1.5);
        page.finish()
    }

    #[test]
    fn both_formats_say_the_same_in_their_own_words() {
        let rest = "# HELP b Others.\n# TYPE b gauge\nb{of=\"a \\\"b\\\"\\\\\\n\",in=\"c\"} 1.5\n";
        let plain = format!("# HELP a_total Some.\n# TYPE a_total counter\na_total 2\n{rest}");
        assert_eq!(page(Format::Prometheus), plain);
        let open = format!("# HELP a Some.\n# TYPE a counter\na_total 2\n{rest}# EOF\n");
        assert_eq!(page(Format::OpenMetrics), open);
    }

    #[test]
    fn the_last_bucket_of_a_histogram_holds_all() {
        let histogram = Histogram::of_times();
        histogram.took(Duration::from_millis(3));
        histogram.took(Duration::from_hours(2));
        let mut page = Page::new(Format::Prometheus);
        page.histogram("c_seconds", "Times.").show_all(&[("of", "x")], &histogram);
        let text = page.finish();
        assert!(text.contains("c_seconds_bucket{of=\"x\",le=\"0.0025\"} 0\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{of=\"x\",le=\"0.005\"} 1\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{of=\"x\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.ends_with("c_seconds_sum{of=\"x\"} 7200.003\nc_seconds_count{of=\"x\"} 2\n"));
    }
}
