//! The page of metrics, and what the door itself counts for it.

use std::borrow::Cow;
use std::time::Instant;

use apflow_api::{Api, Entry, TABLE, chain};
use apflow_model::metric::{ByName, Format, Gauge, Histogram, Page};
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};

use crate::telemetry;

/// The most operations that are told apart: those of the table, and the other routes.
const OPERATIONS_MAX: usize = 200;
/// The most statuses of an operation that are told apart.
const STATUSES_MAX: usize = 20;

/// What the door counts.
pub(super) struct Metrics {
    in_flight: Gauge,
    answers: ByName<OfOperation>,
}

struct OfOperation(ByName<Answers>);

struct Answers(Histogram);

impl Default for Metrics {
    fn default() -> Self {
        Self { in_flight: Gauge::default(), answers: ByName::new(OPERATIONS_MAX) }
    }
}

impl Default for OfOperation {
    fn default() -> Self {
        Self(ByName::new(STATUSES_MAX))
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self(Histogram::of_times())
    }
}

impl Metrics {
    /// Has a request answered, and counts it.
    pub(super) async fn measure(
        &self,
        operation: &str,
        answering: impl Future<Output = Response>,
    ) -> Response {
        let _in_flight = self.in_flight.hold();
        let begun = Instant::now();
        let response = answering.await;
        let of = self.answers.of(operation);
        of.0.of(response.status().as_str()).0.took(begun.elapsed());
        response
    }

    fn show(&self, page: &mut Page) {
        let help =
            "HTTP requests that are being answered; a stream counts until its headers are sent.";
        page.gauge("apflow_http_requests_in_flight", help).show(&[], self.in_flight.get());
        let help = "Time until the headers of an HTTP answer, by operation and status.";
        let times = page.histogram("apflow_http_request_seconds", help);
        for (operation, of) in self.answers.all() {
            for (status, answers) in of.0.all() {
                let labels = [("operation", operation.as_str()), ("status", status.as_str())];
                times.show_all(&labels, &answers.0);
            }
        }
    }
}

/// What a request asks for, by a name of the table or the path of a route: of these there are few,
/// whatever clients send.
pub(super) fn operation(request: &Request) -> Cow<'static, str> {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return "unknown".into() };
    let path = path.as_str();
    let is_it = |entry: &&Entry| entry.path == path && method(entry) == request.method();
    TABLE.iter().find(is_it).map_or(path.to_owned().into(), |entry| entry.name.into())
}

fn method(entry: &Entry) -> Method {
    match entry.method {
        apflow_api::Method::Get => Method::GET,
        apflow_api::Method::Post => Method::POST,
        apflow_api::Method::Put => Method::PUT,
        apflow_api::Method::Delete => Method::DELETE,
    }
}

/// The page of metrics, in the format that these headers ask for.
pub(super) fn answer(page: &Page, headers: &HeaderMap) -> Response {
    let format = format(headers);
    ([(CONTENT_TYPE, format.media_type())], page.text(format)).into_response()
}

/// All that is counted, and what there is at present.
pub(super) async fn read(api: &Api, metrics: &Metrics) -> Page {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    let help = "Always 1: which program this is.";
    page.gauge("apflow_build_info", help).show(&[("version", version)], true);
    metrics.show(&mut page);
    telemetry::show_metrics(&mut page);
    if let Err(error) = api.show_metrics(&mut page).await {
        // A page without the database is of use exactly when that is not well.
        tracing::warn!(error = chain(&error), "the page of metrics lacks what the database holds");
    }
    page
}

fn format(headers: &HeaderMap) -> Format {
    let mut accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_open = accepts.any(|value| value.contains("application/openmetrics-text"));
    if is_open { Format::OpenMetrics } else { Format::Prometheus }
}
