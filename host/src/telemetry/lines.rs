//! The lines of the log: for people, or a JSON object each.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apflow_api::SystemClock;
use apflow_model::clock::Clock;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::spans::Open;

/// Writes each line in the form that is wanted at that moment.
pub(super) struct Lines {
    pub(super) is_json: Arc<AtomicBool>,
    pub(super) text: Format<Full>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if !self.is_json.load(Ordering::Relaxed) {
            return self.text.format_event(context, writer, event);
        }
        let metadata = event.metadata();
        let mut fields = JsonFields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), SystemClock.now().to_string().into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        line.insert("message".to_owned(), fields.0.remove("message").unwrap_or_default());
        let mut names = Vec::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            names.push(Value::from(span.name()));
            let extensions = span.extensions();
            let Some(open) = extensions.get::<Open>() else { continue };
            // The innermost wins: that is where it happened.
            line.insert("trace_id".to_owned(), format!("{:032x}", open.context.trace).into());
            line.insert("span_id".to_owned(), format!("{:016x}", open.context.span).into());
            let of_span = open.fields.iter();
            line.extend(of_span.map(|(name, value)| ((*name).to_owned(), value.clone().into())));
        }
        if !names.is_empty() {
            line.insert("spans".to_owned(), names.into());
        }
        line.insert("fields".to_owned(), fields.0.into());
        writeln!(writer, "{}", Value::from(line))
    }
}

/// The fields of an event, as JSON.
#[derive(Default)]
struct JsonFields(Map<String, Value>);

impl JsonFields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for JsonFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}
