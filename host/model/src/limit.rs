//! The limits of an attempt, and the units they are written in.
//!
//! It does not enforce them: the sandbox does, every one.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What one attempt may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Linear memory, all memories together, in bytes. From 64 KiB to 1 GiB; 64 MiB if not set.
    pub memory_bytes: u64,
    /// Elements of one table. Up to 100,000, which it is if not set.
    pub table_elements: u64,
    /// Streams, files, requests and other things of the host that it holds at once. Up to 4096; 256
    /// if not set.
    pub handles: u64,
    /// Time from instantiation to the end, waiting included. From 1 ms to 24 h; 30 s if not set.
    pub timeout: Duration,
    /// How long a cancelled attempt may go on to clean up. Up to 1 min; 0 s if not set, which ends
    /// it at once.
    pub cancel_grace: Duration,
    /// Fuel, in wasmtime's units: deterministic, about one for each instruction. None: not metered.
    pub fuel: Option<u64>,
    /// Output of an executor, in bytes of JSON. Up to 64 MiB; 8 MiB if not set.
    pub output_bytes: u64,
    /// Standard output of a command, in bytes. Up to 64 MiB; 8 MiB if not set.
    pub stdout_bytes: u64,
    /// Standard error of a command, in bytes. Up to 64 MiB; 1 MiB if not set.
    pub stderr_bytes: u64,
    /// The log, in bytes: the texts of its lines, and a fixed cost for each line and each field. What
    /// is over is dropped. Up to 64 MiB; 1 MiB if not set.
    pub log_bytes: u64,
    /// What one host call may carry, its output beside, in bytes. Up to 64 MiB; 4 MiB if not set.
    pub host_call_bytes: u64,
    /// HTTP requests sent. 100 if not set.
    pub http_requests: u64,
    /// One HTTP body, sent or received, in bytes. Up to 1 GiB; 16 MiB if not set.
    pub http_body_bytes: u64,
    /// The headers of one HTTP message, in bytes. Never more than
    /// [`HTTP_HEADERS_MAX`](Self::HTTP_HEADERS_MAX) of them in an answer. Up to 1 MiB; 64 KiB if not set.
    pub http_header_bytes: u64,
    /// TCP connections opened, through `dial` and raw sockets together. Up to 256; 16 if not set.
    pub connections: u64,
    /// Bytes through all TCP connections of `dial`, both ways. Up to 1 GiB; 64 MiB if not set.
    pub tcp_bytes: u64,
    /// Making one connection, name and TLS included. From 1 ms to 5 min; 30 s if not set.
    pub connect_timeout: Duration,
    /// Silence of a server. From 1 ms to 24 h; 10 min if not set.
    pub idle_timeout: Duration,
    /// What it may leave in `/out`, in bytes. Up to 1 GiB; 64 MiB if not set.
    pub out_bytes: u64,
    /// Files and folders in `/out`, and as many in `/scratch`. Up to 100,000; 1000 if not set.
    pub files: u64,
    /// How many of its tasks run at once, on all hosts of a database together, from 1 to 1,000,000.
    /// None for any number. It is no limit of one attempt: a claim heeds it.
    pub running_max: Option<u32>,
    /// How many of its tasks start a minute, on all hosts of a database together, from 1 to 60,000.
    /// None for any number. It is no limit of one attempt: a claim heeds it.
    pub starts_per_minute: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 * MIB,
            table_elements: Self::TABLE_ELEMENTS_MAX,
            handles: 256,
            timeout: Duration::from_secs(30),
            cancel_grace: Duration::ZERO,
            fuel: None,
            output_bytes: 8 * MIB,
            stdout_bytes: 8 * MIB,
            stderr_bytes: MIB,
            log_bytes: MIB,
            host_call_bytes: 4 * MIB,
            http_requests: 100,
            http_body_bytes: 16 * MIB,
            http_header_bytes: 64 * KIB,
            connections: 16,
            tcp_bytes: 64 * MIB,
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(10),
            out_bytes: 64 * MIB,
            files: 1000,
            running_max: None,
            starts_per_minute: None,
        }
    }
}

impl Limits {
    /// The largest `memory` a manifest may set.
    pub const MEMORY_BYTES_MAX: u64 = GIB;
    /// The largest `tables` a manifest may set.
    pub const TABLE_ELEMENTS_MAX: u64 = 100_000;
    /// The most headers of an answer, whatever their size.
    pub const HTTP_HEADERS_MAX: usize = 128;
    /// The largest `timeout` a manifest may set.
    pub const TIMEOUT_MAX: Duration = Duration::from_hours(24);
    /// The largest `cancel_grace` a manifest may set.
    pub const CANCEL_GRACE_MAX: Duration = Duration::from_mins(1);
    /// The largest `connect_timeout` a manifest may set.
    pub const CONNECT_TIMEOUT_MAX: Duration = Duration::from_mins(5);
    /// The largest `fs.scratch` a manifest may ask for.
    pub const SCRATCH_BYTES_MAX: u64 = 4 * GIB;
}

/// An attempt went over one of its limits.
///
/// Every text names the limit, its value, and the key of `plugin.yaml` that changes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// The guest asked for more memory.
    #[error("it needs more than {} of memory; `limits.memory` in its plugin.yaml sets this", Bytes(*.0))]
    Memory(u64),
    /// The guest asked for a larger table of functions.
    #[error(
        "it needs a table of more than {0} elements; `limits.tables` in its plugin.yaml sets this"
    )]
    Table(u64),
    /// The guest holds too many things of the host.
    #[error(
        "it holds more than {0} files, streams or requests at once; `limits.handles` in its \
         plugin.yaml sets this"
    )]
    Handles(u64),
    /// Its calls are nested too deeply. The size is the host's, in bytes.
    #[error("its calls are nested deeper than a stack of {} holds, which is fixed", Bytes(*.0))]
    Stack(u64),
    /// The guest asked for too many random bytes at once. The size is the host's.
    #[error("one call asked for more than {} of random bytes, which is fixed", Bytes(*.0))]
    Random(u64),
    /// The time was up.
    #[error("it ran longer than {}; `limits.timeout` in its plugin.yaml and `timeout_seconds` of the task set this", Span(*.0))]
    Timeout(Duration),
    /// The fuel was burnt.
    #[error("it burnt all of its {0} units of fuel; `limits.fuel` in its plugin.yaml sets this")]
    Fuel(u64),
    /// The output was too large.
    #[error("it returned more than {}; `limits.output` in its plugin.yaml sets this", Bytes(*.0))]
    Output(u64),
    /// A command wrote too much to its standard output.
    #[error("it wrote more than {} to stdout; `limits.stdout` in its plugin.yaml sets this", Bytes(*.0))]
    Stdout(u64),
    /// A command wrote too much to its standard error.
    #[error("it wrote more than {} to stderr; `limits.stderr` in its plugin.yaml sets this", Bytes(*.0))]
    Stderr(u64),
    /// The guest sent too many HTTP requests.
    #[error(
        "it sent more than {0} HTTP requests; `limits.http_requests` in its plugin.yaml sets this"
    )]
    HttpRequests(u64),
    /// An HTTP body was too large.
    #[error("an HTTP body had more than {}; `limits.http_body` in its plugin.yaml sets this", Bytes(*.0))]
    HttpBody(u64),
    /// The headers of an HTTP message were too large.
    #[error("an HTTP message had more than {} of headers, or more than {} of them; `limits.http_headers` in its plugin.yaml sets the first", Bytes(*.0), Limits::HTTP_HEADERS_MAX)]
    HttpHeaders(u64),
    /// The guest opened too many TCP connections.
    #[error(
        "it opened more than {0} connections; `limits.connections` in its plugin.yaml sets this"
    )]
    Connections(u64),
    /// Too much went through its TCP connections.
    #[error("more than {} went through its connections; `limits.tcp_bytes` in its plugin.yaml sets this", Bytes(*.0))]
    TcpBytes(u64),
    /// The guest wrote too much to `/out`.
    #[error("it wrote more than {} to /out; `limits.out` in its plugin.yaml sets this", Bytes(*.0))]
    OutBytes(u64),
    /// The guest wrote too much to `/scratch`.
    #[error("it wrote more than {} to /scratch; `capabilities.fs.scratch` in its plugin.yaml sets this", Bytes(*.0))]
    ScratchBytes(u64),
    /// The guest made too many files.
    #[error(
        "it made more than {0} files and folders in /out or in /scratch; `limits.files` in its plugin.yaml sets this"
    )]
    Files(u64),
    /// A host call carried too much.
    #[error("one of its host calls carried more than {}; `limits.host_call` in its plugin.yaml sets this, and `limits.output` adds to it", Bytes(*.0))]
    HostCall(u64),
}

impl Breach {
    /// The limit that was met, by its key in `limits` of a `plugin.yaml` where it has one.
    pub const fn limit(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Table(_) => "tables",
            Self::Handles(_) => "handles",
            Self::Stack(_) => "stack",
            Self::Random(_) => "random",
            Self::Timeout(_) => "timeout",
            Self::Fuel(_) => "fuel",
            Self::Output(_) => "output",
            Self::Stdout(_) => "stdout",
            Self::Stderr(_) => "stderr",
            Self::HttpRequests(_) => "http_requests",
            Self::HttpBody(_) => "http_body",
            Self::HttpHeaders(_) => "http_headers",
            Self::Connections(_) => "connections",
            Self::TcpBytes(_) => "tcp_bytes",
            Self::OutBytes(_) => "out",
            Self::ScratchBytes(_) => "scratch",
            Self::Files(_) => "files",
            Self::HostCall(_) => "host_call",
        }
    }
}

/// A number of bytes, shown and read with a binary unit: `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Bytes {
    const UNITS: [(&'static str, u64); 4] = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

    /// Reads `64MiB`, `512KiB`, `1GiB` or `100B`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a size: expected a whole number and B, KiB, MiB or GiB, like `64MiB`"
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let (_, size) =
            Self::UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(expected)?;
        number.checked_mul(size).map(Self).ok_or_else(expected)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) =
            Self::UNITS.into_iter().find(|(_, size)| self.0 >= *size).unwrap_or(("B", 1));
        let tenths = u128::from(self.0) * 10 / u128::from(size);
        let text = if tenths.is_multiple_of(10) {
            format!("{} {unit}", tenths / 10)
        } else {
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        };
        formatter.pad(&text)
    }
}

/// A span of time, shown and read with a unit: `30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    const UNITS_MS: [(&'static str, u64); 4] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

    /// Reads `500ms`, `30s`, `5m` or `1h`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a span of time: expected a whole number and ms, s, m or h, like `30s`"
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let (_, ms) =
            Self::UNITS_MS.into_iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
        number.checked_mul(ms).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(expected)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let text = match micros {
            0 => "0 s".to_owned(),
            1..1_000 => format!("{micros} µs"),
            1_000..10_000 if !micros.is_multiple_of(1_000) => {
                format!("{}.{} ms", micros / 1_000, micros / 100 % 10)
            }
            1_000..1_000_000 => format!("{} ms", micros / 1_000),
            _ if micros.is_multiple_of(1_000_000) => format!("{} s", micros / 1_000_000),
            _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        };
        formatter.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_units() {
        assert_eq!(Bytes::parse("64MiB"), Ok(Bytes(64 << 20)));
        assert_eq!(Bytes::parse("100B"), Ok(Bytes(100)));
        for wrong in
            ["64", "MiB", "64MB", "-1KiB", "99999999999999999999B", "18446744073709551615GiB"]
        {
            assert!(Bytes::parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_fits() {
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1_310_720).to_string(), "1.2 MiB");
        assert_eq!(Bytes(0).to_string(), "0 B");
    }

    #[test]
    fn spans_are_read_and_shown_with_their_unit() {
        assert_eq!(Span::parse("30s"), Ok(Span(Duration::from_secs(30))));
        assert!(Span::parse("30").unwrap_err().contains("like `30s`"));
        assert_eq!(Span(Duration::from_micros(1_250)).to_string(), "1.2 ms");
        assert_eq!(Span(Duration::from_micros(90)).to_string(), "90 µs");
        assert_eq!(Span(Duration::from_millis(2_340)).to_string(), "2.3 s");
    }

    #[test]
    fn a_breach_names_the_limit_its_value_and_the_key() {
        let text = Breach::Memory(64 << 20).to_string();
        assert!(text.contains("64 MiB") && text.contains("limits.memory"), "{text}");
    }
}
