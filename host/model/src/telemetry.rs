//! What a host says of itself: the section `telemetry` of its settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// The most headers of a collector.
const HEADERS_MAX: usize = 16;

/// What a host says of itself, and to whom.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What the log holds, for example `info`. None for what the verb usually logs.
    pub log: Option<String>,
    /// How the lines of the log are written.
    pub log_format: LogFormat,
    /// Who may read the page of metrics. None for everybody where only this machine reaches the
    /// door, and else for those who have a token.
    pub metrics: Option<MetricsAccess>,
    /// Where the page of metrics, `/health` and `/ready` are answered besides, for everybody who
    /// reaches it.
    pub metrics_address: Option<SocketAddr>,
    /// Whether the HTTP requests of guests say to which trace they belong.
    pub propagate: bool,
    /// Where spans and metrics are sent. None for where the environment says.
    pub otlp: Option<OtlpSettings>,
}

/// How the lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Who may read the page of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsAccess {
    /// Everybody.
    Open,
    /// Those who have a token, whatever their role.
    Token,
    /// Nobody: there is no such page.
    Off,
}

/// Where spans and metrics are sent, by OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpSettings {
    /// The collector, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` below it, and metrics
    /// to `/v1/metrics`.
    pub endpoint: String,
    /// What every request to it carries beside.
    #[serde(default)]
    pub headers: OtlpHeaders,
    /// Which share of the traces that begin here is sent.
    #[serde(default)]
    pub sample: Share,
    /// How often metrics are sent. None for as often as the environment says, else once a minute.
    #[serde(default)]
    pub metrics_seconds: Option<MetricsSeconds>,
}

/// A number of seconds, from 1 to 3600, or 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct MetricsSeconds(u16);

impl MetricsSeconds {
    /// How long there is between two times. None for never.
    pub fn period(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_secs(self.0.into()))
    }
}

impl TryFrom<u16> for MetricsSeconds {
    type Error = String;

    fn try_from(seconds: u16) -> Result<Self, String> {
        (seconds <= 3_600)
            .then_some(Self(seconds))
            .ok_or(format!("{seconds} is not from 0 to 3600"))
    }
}

/// What is sent, and where, by all that was said of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exports {
    /// None for nowhere.
    pub spans: Option<SpanExport>,
    /// None for nowhere.
    pub metrics: Option<MetricExport>,
}

/// Where spans are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanExport {
    /// There.
    pub to: Destination,
    /// Which share of the traces that begin here.
    pub sample: Share,
}

/// Where metrics are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricExport {
    /// There.
    pub to: Destination,
    /// How long there is between two times.
    pub period: Duration,
}

/// A place that takes spans or metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// The key of `config.yaml`, or the variable, that says the endpoint.
    pub said_by: &'static str,
    /// The endpoint as it was said.
    pub endpoint: String,
    /// Where it is below the endpoint, such as `/v1/traces`. Empty when the endpoint says all.
    pub path: &'static str,
    /// What every request to it carries beside.
    pub headers: OtlpHeaders,
}

/// Headers by name, at most 16.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct OtlpHeaders(pub BTreeMap<String, String>);

/// Values may be keys of an account, so only the names are shown.
impl std::fmt::Debug for OtlpHeaders {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl TryFrom<BTreeMap<String, String>> for OtlpHeaders {
    type Error = String;

    fn try_from(headers: BTreeMap<String, String>) -> Result<Self, String> {
        if headers.len() > HEADERS_MAX {
            return Err(format!("there are more than {HEADERS_MAX} headers"));
        }
        Ok(Self(headers))
    }
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(pub f64);

impl Default for Share {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        let is_right = (0.0..=1.0).contains(&share);
        is_right.then_some(Self(share)).ok_or(format!("{share} is not from 0 to 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_headers_are_not_shown() {
        let headers = BTreeMap::from([("api-key".to_owned(), "hush".to_owned())]);
        let shown = format!("{:?}", OtlpHeaders(headers));
        assert!(shown.contains("api-key") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_share_is_a_part_of_the_whole() {
        assert!(Share::try_from(1.5).is_err());
        assert!(Share::try_from(f64::NAN).is_err());
        assert_eq!(Share::try_from(0.25), Ok(Share(0.25)));
    }
}
