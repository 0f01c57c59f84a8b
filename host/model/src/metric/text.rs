//! A page of metrics as text: in the format of Prometheus, or that of `OpenMetrics`.

use std::fmt::{Display, Formatter, Write};

use crate::metric::{Distribution, Family, Kind, Label, Number, Page, Point, Value};

/// How a page is written as text.
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

impl Page {
    /// The text of the page.
    pub fn text(&self, format: Format) -> String {
        let mut text = String::new();
        for family in self.families() {
            // Writing to a text does not fail.
            write_family(&mut text, family, format).unwrap_or_default();
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

fn write_family(text: &mut String, family: &Family, format: Format) -> std::fmt::Result {
    let Family { name, kind, help, points } = family;
    // In `OpenMetrics` the name of a counter's family lacks what its samples end with.
    let of_family = match format {
        Format::Prometheus => name,
        Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
    };
    let kind = match kind {
        Kind::Counter | Kind::StoredCounter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    write!(text, "# HELP {of_family} {help}\n# TYPE {of_family} {kind}\n")?;
    for Point { labels, value } in points {
        match value {
            Value::Number(number) => writeln!(text, "{name}{} {number}", shown(labels, None))?,
            Value::Distribution(counted) => write_distribution(text, name, labels, counted)?,
        }
    }
    Ok(())
}

fn write_distribution(
    text: &mut String,
    name: &str,
    labels: &[Label],
    counted: &Distribution,
) -> std::fmt::Result {
    let mut count = 0;
    let bounds = counted.bounds().map(Some).chain([None]);
    for (bound, bucket) in bounds.zip(counted.buckets()) {
        count += bucket;
        let labels = shown(labels, Some(bound.as_deref().unwrap_or("+Inf")));
        writeln!(text, "{name}_bucket{labels} {count}")?;
    }
    let (labels, sum) = (shown(labels, None), counted.sum());
    write!(text, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}\n")
}

impl Display for Number {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(formatter),
            Self::Real(number) => number.fmt(formatter),
        }
    }
}

/// Labels, and the upper end of a bucket with them.
fn shown(labels: &[Label], bound: Option<&str>) -> String {
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    let labels = labels.chain(bound.map(|bound| ("le", bound)));
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
    use crate::metric::Histogram;

    fn text(format: Format) -> String {
        let mut page = Page::default();
        page.counter("a_total", "Some.").show(&[], 2_u64);
        page.gauge("b", "Others.").show(&[("of", "a \"b\"\\\n"), ("in", "c")], 1.5);
        page.text(format)
    }

    #[test]
    fn both_formats_say_the_same_in_their_own_words() {
        let rest = "# HELP b Others.\n# TYPE b gauge\nb{of=\"a \\\"b\\\"\\\\\\n\",in=\"c\"} 1.5\n";
        let plain = format!("# HELP a_total Some.\n# TYPE a_total counter\na_total 2\n{rest}");
        assert_eq!(text(Format::Prometheus), plain);
        let open = format!("# HELP a Some.\n# TYPE a counter\na_total 2\n{rest}# EOF\n");
        assert_eq!(text(Format::OpenMetrics), open);
    }

    #[test]
    fn the_last_bucket_of_a_histogram_holds_all() {
        let histogram = Histogram::of_times();
        histogram.took(Duration::from_millis(3));
        histogram.took(Duration::from_hours(2));
        let mut page = Page::default();
        page.histogram("c_seconds", "Times.").show_all(&[("of", "x")], &histogram);
        let text = page.text(Format::Prometheus);
        assert!(text.contains("c_seconds_bucket{of=\"x\",le=\"0.0025\"} 0\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{of=\"x\",le=\"0.005\"} 1\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{of=\"x\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.ends_with("c_seconds_sum{of=\"x\"} 7200.003\nc_seconds_count{of=\"x\"} 2\n"));
    }
}
