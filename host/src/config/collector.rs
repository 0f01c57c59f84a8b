//! Where spans and metrics are sent: what `config.yaml` says, or else the variables of OpenTelemetry
//! (*OpenTelemetry Protocol Exporter* of its specification). It reads no endpoint: who sends does.

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_model::telemetry::{
    Destination, Exports, MetricExport, OtlpHeaders, OtlpSettings, Share, SpanExport,
};

use super::error::ConfigError;
use crate::remote;

/// The collector of all.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// What every request to it carries.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// How often metrics are sent, in milliseconds.
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
/// How often, where nobody says.
const PERIOD: Duration = Duration::from_mins(1);
/// The shortest and the longest interval, in milliseconds.
const INTERVAL_MS_MIN: u64 = 100;
const INTERVAL_MS_MAX: u64 = 3_600_000;

/// The key of `config.yaml` that says the collector of all.
const KEY: &str = "telemetry.otlp.endpoint";

/// What is sent by ways of its own.
struct Signal {
    path: &'static str,
    exporter: &'static str,
    endpoint: &'static str,
    headers: &'static str,
}

const SPANS: Signal = Signal {
    path: "/v1/traces",
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    headers: "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
};

const METRICS: Signal = Signal {
    path: "/v1/metrics",
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    headers: "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
};

/// What the environment says of collectors: none of these variables is empty.
#[derive(Clone, Default)]
pub(super) struct Collectors(BTreeMap<&'static str, String>);

impl Collectors {
    /// Takes it out, since headers may hold keys, which no plugin may be granted.
    pub(super) fn take(environment: &mut BTreeMap<String, String>) -> Self {
        let of = |signal: Signal| [signal.exporter, signal.endpoint, signal.headers];
        let names = [ENDPOINT, HEADERS, INTERVAL].into_iter().chain(of(SPANS)).chain(of(METRICS));
        let said = names.filter_map(|name| Some((name, environment.remove(name)?)));
        Self(said.filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// What is sent, and where. What `config.yaml` says of a collector wins.
    pub(super) fn exports(&self, settings: Option<&OtlpSettings>) -> Result<Exports, ConfigError> {
        let Some(settings) = settings else {
            let spans = self.destination(&SPANS);
            let metrics = self.destination(&METRICS);
            let period = if metrics.is_some() { self.period()? } else { PERIOD };
            return Ok(Exports {
                spans: spans.map(|to| SpanExport { to, sample: Share::default() }),
                metrics: metrics.map(|to| MetricExport { to, period }),
            });
        };
        let to = |signal: &Signal| Destination {
            said_by: KEY,
            endpoint: settings.endpoint.clone(),
            path: signal.path,
            headers: settings.headers.clone(),
        };
        let period = match settings.metrics_seconds {
            Some(seconds) => seconds.period(),
            None => Some(self.period()?),
        };
        Ok(Exports {
            spans: Some(SpanExport { to: to(&SPANS), sample: settings.sample }),
            metrics: period.map(|period| MetricExport { to: to(&METRICS), period }),
        })
    }

    fn destination(&self, signal: &Signal) -> Option<Destination> {
        // For example `none`, or `prometheus`: the page is there in any case.
        let goes = |said: &String| said.split(',').any(|exporter| exporter.trim() == "otlp");
        if !self.0.get(signal.exporter).is_none_or(goes) {
            return None;
        }
        let headers = self.0.get(signal.headers).or_else(|| self.0.get(HEADERS));
        let headers = headers.map(|said| read_headers(said)).unwrap_or_default();
        let said = |name: &str| self.0.get(name).cloned();
        let (said_by, endpoint, path) = match said(signal.endpoint) {
            Some(own) => (signal.endpoint, own, ""),
            None => (ENDPOINT, said(ENDPOINT)?, signal.path),
        };
        Some(Destination { said_by, endpoint, path, headers })
    }

    fn period(&self) -> Result<Duration, ConfigError> {
        let Some(said) = self.0.get(INTERVAL) else { return Ok(PERIOD) };
        let range = INTERVAL_MS_MIN..=INTERVAL_MS_MAX;
        let ms = said.trim().parse().ok().filter(|ms| range.contains(ms));
        ms.map(Duration::from_millis).ok_or_else(|| {
            let reason = format!(
                "`{said}` is no number of milliseconds from {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}"
            );
            ConfigError::Variable { name: INTERVAL.to_owned(), reason }
        })
    }
}

/// Reads `NAME=VALUE,NAME=VALUE`.
fn read_headers(said: &str) -> OtlpHeaders {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        // As the specification has it, after the W3C's baggage.
        let value = remote::unescaped(value.trim());
        Some((name.trim().to_owned(), String::from_utf8_lossy(&value).into_owned()))
    };
    OtlpHeaders(said.split(',').filter_map(header).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collectors(pairs: &[(&str, &str)]) -> Collectors {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut environment = pairs.chain([("LANG".to_owned(), "C".to_owned())]).collect();
        let taken = Collectors::take(&mut environment);
        assert_eq!(environment.into_keys().collect::<Vec<_>>(), ["LANG"]);
        taken
    }

    fn of_environment(pairs: &[(&str, &str)]) -> Exports {
        collectors(pairs).exports(None).unwrap()
    }

    #[test]
    fn one_collector_takes_all_unless_the_environment_says_otherwise() {
        let all = (ENDPOINT, "http://c:4318");
        let exports = of_environment(&[all, (HEADERS, "a=1, authorization=Basic%20eA==")]);
        let (spans, metrics) = (exports.spans.unwrap().to, exports.metrics.unwrap());
        assert_eq!((spans.path, metrics.to.path), ("/v1/traces", "/v1/metrics"));
        assert_eq!(metrics.period, PERIOD);
        assert_eq!(
            (&*spans.headers.0["a"], &*spans.headers.0["authorization"]),
            ("1", "Basic eA==")
        );
        let own = of_environment(&[
            all,
            (METRICS.endpoint, "https://m/otlp"),
            (METRICS.headers, "k=v"),
            (INTERVAL, "250"),
        ]);
        let MetricExport { to, period } = own.metrics.unwrap();
        assert_eq!((&*to.endpoint, to.path, to.said_by), ("https://m/otlp", "", METRICS.endpoint));
        assert_eq!((to.headers.0.len(), period), (1, Duration::from_millis(250)));
        assert_eq!(own.spans.unwrap().to.said_by, ENDPOINT);
        let fewer = of_environment(&[all, (METRICS.exporter, "none")]);
        assert!(fewer.metrics.is_none() && fewer.spans.is_some());
        let both = of_environment(&[all, (SPANS.exporter, "console, otlp")]);
        assert!(both.metrics.is_some() && both.spans.is_some());
        assert_eq!(of_environment(&[(ENDPOINT, " "), (HEADERS, "a=1")]), Exports::default());
    }

    #[test]
    fn the_settings_win_over_the_environment() {
        let collectors = collectors(&[
            (ENDPOINT, "http://elsewhere"),
            (METRICS.exporter, "none"),
            (INTERVAL, "5000"),
        ]);
        let exports = |metrics: &str| {
            let said = format!("{{ \"endpoint\": \"http://here\"{metrics} }}");
            collectors.exports(Some(&serde_json::from_str(&said).unwrap())).unwrap()
        };
        let usual = exports("").metrics.unwrap();
        assert_eq!((&*usual.to.endpoint, usual.period), ("http://here", Duration::from_secs(5)));
        let often = exports(", \"metrics_seconds\": 1").metrics.unwrap();
        assert_eq!(often.period, Duration::from_secs(1));
        assert!(exports(", \"metrics_seconds\": 0").metrics.is_none());
    }

    #[test]
    fn a_period_that_is_none_is_named() {
        for wrong in ["soon", "0", "-1", "1.5", "99999999999"] {
            let told = collectors(&[(ENDPOINT, "http://c"), (INTERVAL, wrong)]).exports(None);
            let told = told.unwrap_err().to_string();
            assert!(told.contains(INTERVAL) && told.contains(wrong), "{told}");
        }
        assert!(collectors(&[(INTERVAL, "soon")]).exports(None).is_ok());
    }
}
