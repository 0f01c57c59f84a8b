//! The page of metrics as OTLP's JSON: `ExportMetricsServiceRequest` of opentelemetry-proto 1.x.

use apflow_model::clock::Timestamp;
use apflow_model::metric::{Distribution, Family, Kind, Number, Page, Point, Value as Shown};
use serde_json::{Value, json};

use super::encode::{attribute, resource, scope};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

/// The units of names that end with them, as UCUM has them.
const UNITS: [(&str, &str); 2] = [("_seconds", "s"), ("_bytes", "By")];

/// The body of a request that carries a page: read `now`, by a process that counts since `begun`.
///
/// A family that shows nothing is left out: there is no metric without a point.
pub(super) fn request(page: &Page, begun: Timestamp, now: Timestamp) -> String {
    let shown = page.families().iter().filter(|family| !family.points.is_empty());
    let metrics: Vec<_> = shown.map(|family| metric(family, begun, now)).collect();
    json!({ "resourceMetrics": [{
        "resource": resource(),
        "scopeMetrics": [{ "scope": scope(), "metrics": metrics }],
    }] })
    .to_string()
}

fn metric(family: &Family, begun: Timestamp, now: Timestamp) -> Value {
    let Family { name, kind, help, points } = family;
    // What the database holds was counted since nobody knows when, and says so by saying nothing.
    let since = matches!(kind, Kind::Counter | Kind::Histogram).then_some(begun);
    let points: Vec<_> = points.iter().map(|shown| point(shown, since, now)).collect();
    let mut metric = json!({ "name": name, "description": help, "unit": unit(name) });
    match kind {
        Kind::Gauge => metric["gauge"] = json!({ "dataPoints": points }),
        Kind::Counter | Kind::StoredCounter => {
            metric["sum"] = json!({
                "dataPoints": points,
                "aggregationTemporality": CUMULATIVE,
                "isMonotonic": true,
            });
        }
        Kind::Histogram => {
            metric["histogram"] =
                json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE });
        }
    }
    metric
}

fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    UNITS.iter().find(|(end, _)| name.ends_with(end)).map_or("", |(_, unit)| unit)
}

fn point(point: &Point, since: Option<Timestamp>, now: Timestamp) -> Value {
    let labels: Vec<_> = point.labels.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut json = match &point.value {
        // 64-bit numbers are texts in this JSON.
        Shown::Number(Number::Whole(number)) => json!({ "asInt": number.to_string() }),
        Shown::Number(Number::Real(number)) => json!({ "asDouble": number }),
        Shown::Distribution(counted) => distribution(counted),
    };
    json["attributes"] = labels.into();
    json["timeUnixNano"] = unix_ns(now);
    if let Some(since) = since {
        json["startTimeUnixNano"] = unix_ns(since);
    }
    json
}

fn distribution(counted: &Distribution) -> Value {
    let real = |text: String| text.parse::<f64>().unwrap_or_default();
    json!({
        "count": counted.buckets().sum::<u64>().to_string(),
        "sum": real(counted.sum()),
        "bucketCounts": counted.buckets().map(|count| count.to_string()).collect::<Vec<_>>(),
        "explicitBounds": counted.bounds().map(real).collect::<Vec<_>>(),
    })
}

fn unix_ns(moment: Timestamp) -> Value {
    format!("{}000000", moment.unix_ms()).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use apflow_model::metric::Histogram;

    use super::*;

    fn sent(page: &Page) -> Value {
        let (begun, now) = (Timestamp::from_unix_ms(1_000), Timestamp::from_unix_ms(2_500));
        let body: Value = serde_json::from_str(&request(page, begun, now)).unwrap();
        body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone()
    }

    #[test]
    fn what_only_grows_is_a_sum_since_the_process_began() {
        let mut page = Page::default();
        page.counter("a_bytes_total", "Some.").show(&[("of", "x")], 7_u64);
        page.stored_counter("b_total", "Others.").show(&[], 8_u64);
        let sum = |point: Value| json!({ "dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true });
        let of_process = sum(json!({
            "asInt": "7",
            "attributes": [{ "key": "of", "value": { "stringValue": "x" } }],
            "startTimeUnixNano": "1000000000",
            "timeUnixNano": "2500000000",
        }));
        let stored = sum(json!({ "asInt": "8", "attributes": [], "timeUnixNano": "2500000000" }));
        assert_eq!(
            sent(&page),
            json!([
                { "name": "a_bytes_total", "description": "Some.", "unit": "By", "sum": of_process },
                { "name": "b_total", "description": "Others.", "unit": "", "sum": stored },
            ])
        );
    }

    #[test]
    fn what_goes_up_and_down_is_a_gauge() {
        let mut page = Page::default();
        page.gauge("a_seconds", "Some.").show(&[], 0.5);
        page.gauge("b", "Nothing.");
        let sent = sent(&page);
        assert_eq!(sent.as_array().map(Vec::len), Some(1), "{sent}");
        let point = json!({ "asDouble": 0.5, "attributes": [], "timeUnixNano": "2500000000" });
        assert_eq!(sent[0]["gauge"], json!({ "dataPoints": [point] }));
        assert_eq!(sent[0]["unit"], "s");
    }

    #[test]
    fn a_histogram_has_one_bucket_more_than_bounds() {
        let histogram = Histogram::of_times();
        for us in [50, 100, 3_000, 7_200_000_000] {
            histogram.took(Duration::from_micros(us));
        }
        let mut page = Page::default();
        page.histogram("a_seconds", "Times.").show_all(&[], &histogram);
        let sent = sent(&page);
        let point = &sent[0]["histogram"]["dataPoints"][0];
        assert_eq!((&point["count"], &point["sum"]), (&json!("4"), &json!(7_200.003_15)));
        let (bounds, counts) = (&point["explicitBounds"], &point["bucketCounts"]);
        assert_eq!((&bounds[0], &counts[0]), (&json!(0.0001), &json!("2")));
        assert_eq!((&bounds[5], &counts[5]), (&json!(0.005), &json!("1")));
        let bounds = bounds.as_array().unwrap();
        let counts = counts.as_array().unwrap();
        assert_eq!(counts.len(), bounds.len() + 1);
        assert_eq!(counts.last(), Some(&json!("1")));
        assert_eq!(sent[0]["histogram"]["aggregationTemporality"], 2);
    }
}
