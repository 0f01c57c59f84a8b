//! Carries events of the `tracing` crate to the task's log. Spans are not carried: a line has its
//! own fields and nothing around it.

use std::fmt::{self, Debug, Write};

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

use crate::backend::log;

/// Makes [`Lines`] the subscriber of this component, once.
pub(crate) fn install() {
    // A plugin that installed its own subscriber first knows better.
    drop(dispatcher::set_global_default(Dispatch::new(Lines)));
}

/// Writes every event as a line of the log.
pub(crate) struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Nothing is kept of a span, so all may share one id.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        line.push("target", metadata.target().to_owned());
        log::write(level(*metadata.level()), &line.message, &line.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn level(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<log::Field>,
}

impl Line {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            _ = self.message.write_fmt(value);
        } else {
            self.push(field.name(), value.to_string());
        }
    }

    fn push(&mut self, name: &str, value: String) {
        self.fields.push(log::Field { name: name.to_owned(), value });
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}
