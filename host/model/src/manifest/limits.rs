//! The limits of a manifest: one table for what may be written, what holds otherwise, and where it
//! goes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::amount::{read_count, read_size, read_span};
use crate::limit::{Bytes, Limits, Span};
use crate::pace::Pace;
use crate::reader::{Reader, Section};
use crate::schema::{self, Key, Shape};
use crate::yaml::{Kind, Node};

/// A key of `limits`.
pub(crate) struct Limit {
    /// Its name.
    pub(crate) name: &'static str,
    amount: Amount,
    /// What it limits, as a sentence.
    about: &'static str,
}

/// What a limit counts, from and to, and where its value goes.
enum Amount {
    Size(u64, u64, fn(&mut Limits) -> &mut u64),
    Count(u64, u64, fn(&mut Limits) -> &mut u64),
    Time(Duration, Duration, fn(&mut Limits) -> &mut Duration),
    /// Fuel alone may be `none`.
    Fuel,
    /// How many of its tasks, from 1: without it, any number.
    Tasks(u32, fn(&mut Limits) -> &mut Option<u32>),
}

use Amount::{Count, Fuel, Size, Tasks, Time};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MS: Duration = Duration::from_millis(1);
const RUNNING_MAX: u32 = 1_000_000;

/// Every limit.
pub(crate) const LIMITS: [Limit; 22] = [
    limit(
        "memory",
        Size(64 * KIB, Limits::MEMORY_BYTES_MAX, |limits| &mut limits.memory_bytes),
        "All linear memories of an instance together.",
    ),
    limit(
        "tables",
        Count(0, Limits::TABLE_ELEMENTS_MAX, |limits| &mut limits.table_elements),
        "Elements of one table.",
    ),
    limit(
        "handles",
        Count(8, 4096, |limits| &mut limits.handles),
        "Files, streams, requests and other things of the host that are held at once.",
    ),
    limit(
        "timeout",
        Time(MS, Limits::TIMEOUT_MAX, |limits| &mut limits.timeout),
        "Time from instantiation to the end, waiting included.",
    ),
    limit(
        "cancel_grace",
        Time(Duration::ZERO, Limits::CANCEL_GRACE_MAX, |limits| &mut limits.cancel_grace),
        "How long a cancelled attempt may go on to clean up.",
    ),
    limit("fuel", Fuel, "Deterministic units, about one an instruction."),
    limit(
        "output",
        Size(0, 64 * MIB, |limits| &mut limits.output_bytes),
        "The JSON that an executor returns.",
    ),
    limit(
        "stdout",
        Size(0, 64 * MIB, |limits| &mut limits.stdout_bytes),
        "Standard output of a command.",
    ),
    limit(
        "stderr",
        Size(0, 64 * MIB, |limits| &mut limits.stderr_bytes),
        "Standard error of a command.",
    ),
    limit("log", Size(0, 64 * MIB, |limits| &mut limits.log_bytes), "The log of an attempt."),
    limit(
        "host_call",
        Size(4 * KIB, 64 * MIB, |limits| &mut limits.host_call_bytes),
        "What one host call may carry, `output` added to it.",
    ),
    limit(
        "http_requests",
        Count(0, u64::MAX, |limits| &mut limits.http_requests),
        "HTTP requests sent.",
    ),
    limit(
        "http_body",
        Size(0, GIB, |limits| &mut limits.http_body_bytes),
        "One HTTP body, sent or received.",
    ),
    limit(
        "http_headers",
        Size(KIB, MIB, |limits| &mut limits.http_header_bytes),
        "The headers of one HTTP message.",
    ),
    limit(
        "connections",
        Count(0, 256, |limits| &mut limits.connections),
        "TCP connections opened, `tcp` and `sockets` together.",
    ),
    limit(
        "tcp_bytes",
        Size(0, GIB, |limits| &mut limits.tcp_bytes),
        "All bytes through connections of `tcp`, both ways.",
    ),
    limit(
        "connect_timeout",
        Time(MS, Limits::CONNECT_TIMEOUT_MAX, |limits| &mut limits.connect_timeout),
        "Making one connection, its name and TLS included.",
    ),
    limit(
        "idle_timeout",
        Time(MS, Limits::TIMEOUT_MAX, |limits| &mut limits.idle_timeout),
        "Silence of a server.",
    ),
    limit("out", Size(0, GIB, |limits| &mut limits.out_bytes), "The files in `/out` together."),
    limit(
        "files",
        Count(0, 100_000, |limits| &mut limits.files),
        "Files and folders in `/out`, and as many in `/scratch`.",
    ),
    limit(
        "concurrency",
        Tasks(RUNNING_MAX, |limits| &mut limits.running_max),
        "How many of its tasks run at once, on all hosts of a database.",
    ),
    limit(
        "starts_per_minute",
        Tasks(Pace::PER_MINUTE_MAX, |limits| &mut limits.starts_per_minute),
        "How many of its tasks start a minute, on all hosts of a database.",
    ),
];

const fn limit(name: &'static str, amount: Amount, about: &'static str) -> Limit {
    Limit { name, amount, about }
}

/// Reads what one attempt may use, of a plugin or a tool.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> Limits {
    let mut limits = Limits::default();
    let names = LIMITS.map(|limit| limit.name);
    if let Some(section) = reader.section(node, "limits", &names) {
        for limit in &LIMITS {
            limit.read(reader, &section, &mut limits);
        }
    }
    limits
}

/// The schema of the section `limits`.
pub(super) fn schema() -> Value {
    let mut schema = schema::section(&LIMITS.map(|limit| limit.key()), &mut Map::new());
    for limit in &LIMITS {
        if let Some(preset) = limit.preset() {
            schema["properties"][limit.name]["default"] = preset;
        }
    }
    schema
}

impl Limit {
    /// What is said of it, as it is written in a manifest, and as a number to compare. `none` is more
    /// than any number.
    pub(crate) fn of(&self, limits: &Limits) -> (String, u128) {
        let mut limits = *limits;
        match &self.amount {
            Size(_, _, field) => {
                let bytes = *field(&mut limits);
                (written(Bytes(bytes)), bytes.into())
            }
            Count(_, _, field) => {
                let count = *field(&mut limits);
                (count.to_string(), count.into())
            }
            Time(_, _, field) => {
                let span = *field(&mut limits);
                (written(Span(span)), span.as_nanos())
            }
            Fuel => match limits.fuel {
                Some(fuel) => (fuel.to_string(), fuel.into()),
                None => ("none".to_owned(), u128::MAX),
            },
            Tasks(_, field) => match *field(&mut limits) {
                Some(most) => (most.to_string(), most.into()),
                None => ("not limited".to_owned(), u128::MAX),
            },
        }
    }

    /// Its line in the table of the schema.
    fn key(&self) -> Key {
        const FUEL: [Shape; 2] = [Shape::Count(0, u64::MAX), Shape::Word(|| vec!["none"])];
        let shape = match self.amount {
            Size(from, to, _) => Shape::Size(from, to),
            Count(from, to, _) => Shape::Count(from, to),
            Time(from, to, _) => Shape::Span(from, to),
            Fuel => Shape::Either(&FUEL),
            Tasks(most, _) => Shape::Count(1, most.into()),
        };
        Key::new(self.name, shape, self.about)
    }

    /// What holds when it is left out, where there is a value for it.
    fn preset(&self) -> Option<Value> {
        let (text, _) = self.of(&Limits::default());
        match self.amount {
            Count(..) => text.parse().ok().map(Value::Number),
            Size(..) | Time(..) | Fuel => Some(json!(text)),
            Tasks(..) => None,
        }
    }

    fn read(&self, reader: &mut Reader, section: &Section<'_>, limits: &mut Limits) {
        match &self.amount {
            Size(from, to, field) => {
                let read = read_size(reader, section, self.name, *from..=*to);
                set(field(limits), read);
            }
            Count(from, to, field) => {
                let read = read_count(reader, section, self.name, *from..=*to);
                set(field(limits), read);
            }
            Time(from, to, field) => {
                let read = read_span(reader, section, self.name, *from..=*to);
                set(field(limits), read);
            }
            Fuel => limits.fuel = read_fuel(reader, section),
            Tasks(most, field) => {
                let read = read_count(reader, section, self.name, 1..=u64::from(*most));
                *field(limits) = read.and_then(|count| u32::try_from(count).ok());
            }
        }
    }
}

fn set<T>(field: &mut T, read: Option<T>) {
    if let Some(value) = read {
        *field = value;
    }
}

/// A value with its unit, as a manifest has it: without the space between them.
fn written(value: impl std::fmt::Display) -> String {
    value.to_string().replace(' ', "")
}

fn read_fuel(reader: &mut Reader, section: &Section<'_>) -> Option<u64> {
    match section.get("fuel")?.kind() {
        Kind::Text(text) if text == "none" => None,
        Kind::Null
        | Kind::Bool(_)
        | Kind::Number(_)
        | Kind::Text(_)
        | Kind::List(_)
        | Kind::Map(_) => reader.number(section, "fuel"),
    }
}
