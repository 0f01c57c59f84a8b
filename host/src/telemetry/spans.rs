//! The spans of traces: each gets an id, a place in its trace, and the trace of the job that it is
//! about. Where spans are exported, those that end are handed on.
//!
//! The floors below know nothing of this: they open spans with the target
//! [`TARGET`](apflow_model::trace::TARGET), and a field `job` where it is about one.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use apflow_api::SystemClock;
use apflow_model::clock::Clock;
use apflow_model::trace::{TARGET, TraceContext};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::ended::Ended;
use super::otlp::Queue;

/// The most jobs whose trace is known by heart. The attempts of one that was forgotten, or taken in
/// by another process, begin a trace of their own.
const JOBS_MAX: usize = 10_000;

/// The field that says where a span of somebody else stands, which is the parent.
const PARENT: &str = "traceparent";
/// The field that says which job a span is about.
const JOB: &str = "job";

/// A span of a trace, as long as it is open.
pub(crate) struct Open {
    pub(crate) context: TraceContext,
    pub(crate) fields: Vec<(&'static str, String)>,
    parent: Option<u64>,
    begun: Instant,
}

/// Gives spans their places in traces. All clones are one.
#[derive(Clone)]
pub(crate) struct Spans(Arc<Shared>);

struct Shared {
    ids: Ids,
    jobs: Mutex<Jobs>,
    /// Where the time of day and the time that measures met.
    anchor: (Instant, u128),
    export: RwLock<Option<Export>>,
}

/// Where spans go that have ended.
pub(crate) struct Export {
    pub(crate) queue: Queue,
    /// Which share of the traces that begin here is sent.
    pub(crate) sample: f64,
}

impl Spans {
    pub(crate) fn new() -> Self {
        let unix_ms = u128::try_from(SystemClock.now().unix_ms()).unwrap_or_default();
        Self(Arc::new(Shared {
            ids: Ids::new(),
            jobs: Mutex::default(),
            anchor: (Instant::now(), unix_ms * 1_000_000),
            export: RwLock::new(None),
        }))
    }

    /// Hands spans that end from now on to `export`, or to nobody.
    pub(crate) fn export(&self, export: Option<Export>) {
        *self.0.export.write().unwrap_or_else(PoisonError::into_inner) = export;
    }

    fn unix_ns(&self, moment: Instant) -> u128 {
        self.0.anchor.1 + moment.saturating_duration_since(self.0.anchor.0).as_nanos()
    }

    /// The place of a new span: below its parent's, that of its job, or in a trace of its own.
    fn place(&self, parent: Option<TraceContext>) -> (TraceContext, Option<u64>) {
        let span = self.0.ids.next();
        if let Some(parent) = parent {
            return (TraceContext { span, ..parent }, Some(parent.span));
        }
        let trace = (u128::from(self.0.ids.next()) << 64) | u128::from(self.0.ids.next());
        let is_sampled = self.is_sampled(self.0.ids.next());
        (TraceContext { trace, span, is_sampled }, None)
    }

    fn is_sampled(&self, drawn: u64) -> bool {
        let export = self.0.export.read().unwrap_or_else(PoisonError::into_inner);
        // 32 bits are exact as a float, and more than enough.
        let drawn = u32::try_from(drawn >> 32).unwrap_or(u32::MAX);
        export.as_ref().is_some_and(|export| f64::from(drawn) < export.sample * f64::from(u32::MAX))
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().map(|open| open.context)
        });
        let job = fields.find(JOB);
        let parent =
            above.or_else(|| fields.find(PARENT)?.parse().ok()).or_else(|| self.jobs().find(job?));
        let (place, parent) = self.place(parent);
        if let Some(job) = job {
            self.jobs().learn(job, place);
        }
        fields.0.retain(|(name, _)| *name != PARENT);
        let open = Open { context: place, fields: fields.0, parent, begun: Instant::now() };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(open) = extensions.get_mut::<Open>() else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(job) = fields.find(JOB) {
            self.jobs().learn(job, open.context);
        }
        open.fields.retain(|(name, _)| fields.find(name).is_none());
        open.fields.extend(fields.0);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let export = self.0.export.read().unwrap_or_else(PoisonError::into_inner);
        let Some(export) = export.as_ref().filter(|_| open.context.is_sampled) else { return };
        export.queue.put(Ended {
            name: span.name(),
            context: open.context,
            parent: open.parent,
            from_unix_ns: self.unix_ns(open.begun),
            to_unix_ns: self.unix_ns(Instant::now()),
            fields: open.fields,
        });
    }
}

/// Whether something is a span of a trace.
pub(crate) fn is_of_trace(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

/// Where the current span stands. None outside of every span of a trace.
pub(crate) fn current() -> Option<TraceContext> {
    let id = tracing::Span::current().id()?;
    tracing::dispatcher::get_default(|dispatch| {
        let span = dispatch.downcast_ref::<Registry>()?.span(&id)?;
        let extensions = span.extensions();
        extensions.get::<Open>().map(|open| open.context)
    })
}

/// The traces of the jobs that were taken in last.
#[derive(Default)]
struct Jobs {
    known: HashMap<String, TraceContext>,
    order: VecDeque<String>,
}

impl Jobs {
    fn find(&self, job: &str) -> Option<TraceContext> {
        self.known.get(job).copied()
    }

    /// Learns where a job belongs that is not known yet.
    fn learn(&mut self, job: &str, context: TraceContext) {
        if self.known.contains_key(job) {
            return;
        }
        if self.order.len() >= JOBS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(job.to_owned(), context);
        self.order.push_back(job.to_owned());
    }
}

/// Makes ids that nobody else makes, and that nobody needs to be unable to guess.
struct Ids(AtomicU64);

impl Ids {
    fn new() -> Self {
        let mut seed = [0; 8];
        // Without random numbers from the system the time has to do.
        if getrandom::fill(&mut seed).is_err() {
            seed = SystemClock.now().unix_ms().to_le_bytes();
        }
        Self(AtomicU64::new(u64::from_le_bytes(seed)))
    }

    /// `SplitMix64` of Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*
    /// (OOPSLA 2014). Never 0.
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).max(1)
    }
}

/// Fields by name, in the order of their span.
#[derive(Default)]
pub(super) struct Fields(pub(super) Vec<(&'static str, String)>);

impl Fields {
    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn put(&mut self, field: &Field, value: impl Into<Cow<'static, str>>) {
        self.0.push((field.name(), value.into().into_owned()));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const PARENT_SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(work: impl FnOnce()) {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Spans::new()), work);
    }

    fn context_of(span: &tracing::Span) -> TraceContext {
        span.in_scope(|| current().unwrap())
    }

    #[test]
    fn a_span_is_below_the_one_that_it_is_opened_in() {
        traced(|| {
            let outer = tracing::info_span!(target: TARGET, "outer", traceparent = PARENT_SENT);
            let sent: TraceContext = PARENT_SENT.parse().unwrap();
            let of_outer = context_of(&outer);
            assert_eq!((of_outer.trace, of_outer.is_sampled), (sent.trace, true));
            assert_ne!(of_outer.span, sent.span);
            let inner = outer.in_scope(|| tracing::info_span!(target: TARGET, "inner"));
            assert_eq!(context_of(&inner).trace, sent.trace);
        });
    }

    #[test]
    fn what_is_about_a_job_is_in_its_trace() {
        traced(|| {
            let empty = tracing::field::Empty;
            let submit = tracing::info_span!(target: TARGET, "submit", job = empty);
            submit.record("job", "j_1");
            let trace = context_of(&submit).trace;
            drop(submit);
            let attempt = |job| tracing::info_span!(target: TARGET, "attempt", job = job);
            assert_eq!(context_of(&attempt("j_1")).trace, trace);
            let other = context_of(&attempt("j_2")).trace;
            assert_ne!(other, trace);
            assert_eq!(context_of(&attempt("j_2")).trace, other, "its next attempt is beside it");
        });
    }

    #[test]
    fn the_oldest_job_is_forgotten_first() {
        let mut jobs = Jobs::default();
        let context: TraceContext = PARENT_SENT.parse().unwrap();
        (0..=JOBS_MAX).for_each(|n| jobs.learn(&n.to_string(), context));
        assert!(jobs.find("0").is_none() && jobs.find("1").is_some());
        assert_eq!((jobs.known.len(), jobs.order.len()), (JOBS_MAX, JOBS_MAX));
    }

    #[test]
    fn outside_of_every_span_there_is_no_trace() {
        traced(|| assert!(current().is_none()));
    }
}
