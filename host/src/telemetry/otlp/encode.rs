//! Spans as OTLP's JSON: `ExportTraceServiceRequest` of opentelemetry-proto 1.x.

use serde_json::{Value, json};

use crate::telemetry::ended::Ended;
use crate::telemetry::process;

/// What a host is called where it is one of many services.
const NAME: &str = "apflow-host";

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The span that answers a request of somebody else.
const REQUEST: &str = "request";
/// The field that says that a span did not end well.
const FAULT: &str = "fault";

/// The body of a request that carries these spans.
pub(super) fn request(spans: &[Ended]) -> String {
    let spans: Vec<_> = spans.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": resource(),
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
    .to_string()
}

/// Who sends: one host of perhaps many.
pub(super) fn resource() -> Value {
    json!({ "attributes": [
        attribute("service.name", NAME),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("service.instance.id", &process::name()),
    ] })
}

pub(super) fn scope() -> Value {
    json!({ "name": NAME })
}

fn span(span: &Ended) -> Value {
    let attributes: Vec<_> = span
        .fields
        .iter()
        .map(|(name, value)| attribute(&format!("apflow.{name}"), value))
        .collect();
    let mut json = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "name": span.name,
        "kind": if span.name == REQUEST { SERVER } else { INTERNAL },
        // 64-bit numbers are texts in this JSON.
        "startTimeUnixNano": span.from_unix_ns.to_string(),
        "endTimeUnixNano": span.to_unix_ns.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent {
        json["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some((_, fault)) = span.fields.iter().find(|(name, _)| *name == FAULT) {
        json["status"] = json!({ "code": ERROR, "message": fault });
    }
    json
}

pub(super) fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_the_protocol_says() {
        let ended = Ended {
            name: "attempt",
            context: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap(),
            parent: Some(7),
            from_unix_ns: 1_800_000_000_000_000_001,
            to_unix_ns: 1_800_000_000_000_000_002,
            fields: vec![("job", "j_1".to_owned()), ("fault", "trapped".to_owned())],
        };
        let body: Value = serde_json::from_str(&request(&[ended])).unwrap();
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span["spanId"], "00f067aa0ba902b7");
        assert_eq!(span["parentSpanId"], "0000000000000007");
        assert_eq!(span["startTimeUnixNano"], "1800000000000000001");
        assert_eq!(span["kind"], INTERNAL);
        assert_eq!(span["attributes"][0], attribute("apflow.job", "j_1"));
        assert_eq!(span["status"], json!({ "code": 2, "message": "trapped" }));
    }
}
