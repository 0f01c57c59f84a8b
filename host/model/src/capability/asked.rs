//! What a plugin's manifest asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::HttpPattern;
use super::socket::SocketPattern;
use super::tcp::TcpPattern;
use crate::limit::Bytes;

/// What stands among the names of secrets for any of them: each must be granted by its name.
pub const ANY_SECRET: &str = "*";

/// The longest name of a secret.
const SECRET_NAME_CHARACTERS_MAX: usize = 64;

/// What a plugin's manifest asks for. Asking alone allows only what reaches nothing outside the
/// task: `clocks`, `random`, and the task's own folders.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Capabilities {
    /// HTTP requests.
    pub http: Vec<HttpPattern>,
    /// TCP connections by name, made by the host.
    pub tcp: Vec<TcpPattern>,
    /// Raw sockets, by address.
    pub sockets: Vec<SocketPattern>,
    /// Files.
    pub fs: Folders,
    /// Environment variables.
    pub env: Vec<String>,
    /// Secrets that the host fills in on the way out, by name, or [`ANY_SECRET`].
    pub secrets: Vec<String>,
    /// Secrets whose value the plugin wants to hold itself.
    pub secret_values: Vec<String>,
    /// Whether it reads clocks.
    pub clocks: bool,
    /// Whether it draws random numbers.
    pub random: bool,
}

/// The folders that a plugin works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Folders {
    /// Whether it reads `/in`.
    pub is_in_read: bool,
    /// Whether it leaves files in `/out`.
    pub is_out_written: bool,
    /// How many bytes it may keep in `/scratch`. None without such a folder.
    pub scratch_bytes: Option<u64>,
}

impl Folders {
    /// Whether there is any folder.
    pub fn is_any(&self) -> bool {
        self.is_in_read || self.is_out_written || self.scratch_bytes.is_some()
    }
}

impl Capabilities {
    /// Each thing asked for, as words for the operator.
    pub fn lines(&self) -> Vec<String> {
        let texts = |kind: &'static str, texts: Vec<String>| {
            texts.into_iter().map(move |text| format!("{kind} {text}"))
        };
        let Self { http, tcp, sockets, fs, env, secrets, secret_values, clocks, random } = self;
        let mut lines: Vec<String> = Vec::new();
        lines.extend(texts("http", http.iter().map(ToString::to_string).collect()));
        lines.extend(texts("tcp", tcp.iter().map(ToString::to_string).collect()));
        lines.extend(texts("sockets", sockets.iter().map(ToString::to_string).collect()));
        lines.extend(fs.is_in_read.then(|| "fs.in (read)".to_owned()));
        lines.extend(fs.is_out_written.then(|| "fs.out (write)".to_owned()));
        lines.extend(fs.scratch_bytes.map(|bytes| format!("fs.scratch ({})", Bytes(bytes))));
        lines.extend(texts("env", env.clone()));
        lines.extend(texts("secret", secrets.clone()));
        lines.extend(texts("secret-value", secret_values.clone()));
        lines.extend(clocks.then(|| "clocks".to_owned()));
        lines.extend(random.then(|| "random".to_owned()));
        lines
    }

    /// Each thing asked for, alone. Its line is the only one of [`Capabilities::lines`].
    pub fn each(&self) -> Vec<Self> {
        let Self { http, tcp, sockets, fs, env, secrets, secret_values, clocks, random } = self;
        let none = Self::default;
        let folders = |fs| Self { fs, ..none() };
        let Folders { is_in_read, is_out_written, scratch_bytes } = *fs;
        let mut each = Vec::new();
        each.extend(http.iter().map(|one| Self { http: vec![one.clone()], ..none() }));
        each.extend(tcp.iter().map(|one| Self { tcp: vec![one.clone()], ..none() }));
        each.extend(sockets.iter().map(|one| Self { sockets: vec![one.clone()], ..none() }));
        each.extend(is_in_read.then(|| folders(Folders { is_in_read, ..Folders::default() })));
        each.extend(
            is_out_written.then(|| folders(Folders { is_out_written, ..Folders::default() })),
        );
        each.extend(
            scratch_bytes.map(|_| folders(Folders { scratch_bytes, ..Folders::default() })),
        );
        each.extend(env.iter().map(|one| Self { env: vec![one.clone()], ..none() }));
        each.extend(secrets.iter().map(|one| Self { secrets: vec![one.clone()], ..none() }));
        each.extend(
            secret_values.iter().map(|one| Self { secret_values: vec![one.clone()], ..none() }),
        );
        each.extend(clocks.then(|| Self { clocks: true, ..none() }));
        each.extend(random.then(|| Self { random: true, ..none() }));
        each
    }

    /// Whether something is asked for that needs a grant.
    pub fn needs_grants(&self) -> bool {
        let Self { http, tcp, sockets, fs, env, secrets, secret_values, .. } = self;
        let is_none = http.is_empty() && tcp.is_empty() && sockets.is_empty() && env.is_empty();
        fs.is_in_read || !is_none || !secrets.is_empty() || !secret_values.is_empty()
    }

    /// Whether something is asked for by which others can be reached.
    pub fn reach_outside(&self) -> bool {
        !(self.http.is_empty() && self.tcp.is_empty() && self.sockets.is_empty())
    }

    /// Whether this secret, to be filled in by the host, is asked for.
    pub fn asks_secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|asked| asked == ANY_SECRET || asked == name)
    }

    /// Whether this asks for all that the other does: who consented to this need not be asked about
    /// the other.
    pub fn covers(&self, other: &Self) -> bool {
        let folders = (self.fs.is_in_read || !other.fs.is_in_read)
            && (self.fs.is_out_written || !other.fs.is_out_written)
            && self.fs.scratch_bytes >= other.fs.scratch_bytes;
        folders
            && all_covered(&self.http, &other.http, HttpPattern::covers)
            && all_covered(&self.tcp, &other.tcp, TcpPattern::covers)
            && all_covered(&self.sockets, &other.sockets, SocketPattern::covers)
            && all_covered(&self.env, &other.env, String::eq)
            && other.secrets.iter().all(|name| self.asks_secret(name))
            && all_covered(&self.secret_values, &other.secret_values, String::eq)
            && (self.clocks || !other.clocks)
            && (self.random || !other.random)
    }
}

fn all_covered<T>(asked: &[T], other: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    other.iter().all(|other| asked.iter().any(|asked| covers(asked, other)))
}

/// Checks what a manifest asks for under `secrets`: the name of one, or any.
///
/// # Errors
///
/// A sentence that says what is accepted.
pub fn check_asked_secret(name: &str) -> Result<String, String> {
    if name == ANY_SECRET { Ok(name.to_owned()) } else { check_secret_name(name) }
}

/// Checks the name of a secret: letters, digits and `_`, beginning with a letter, like the name of
/// an environment variable.
///
/// # Errors
///
/// A sentence that says what is accepted.
pub fn check_secret_name(name: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && name.len() <= SECRET_NAME_CHARACTERS_MAX && name.chars().all(is_allowed) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "`{name}` is not the name of a secret: expected a letter, then letters, digits or `_`, at \
         most {SECRET_NAME_CHARACTERS_MAX} characters"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(yaml: &str) -> Capabilities {
        let manifest = format!(
            "name: own\nversion: 1.0.0\ndescription: Own.\ncomponent: own.wasm\ncapabilities: {yaml}\n"
        );
        crate::manifest::Manifest::parse(&manifest).unwrap().capabilities
    }

    const ALL: &str = "{ http: [\"https://*\"], tcp: [\"*:25\"], sockets: [\"10.0.0.0/8:*\"], \
                       fs: { in: read, out: write, scratch: 1MiB }, env: [LANG], secrets: [key], \
                       secret_values: [pin], clocks: true, random: true }";

    #[test]
    fn what_is_asked_comes_apart_into_its_lines() {
        let all = asks(ALL);
        let lines: Vec<String> = all.each().iter().flat_map(Capabilities::lines).collect();
        assert_eq!(lines, all.lines());
        assert_eq!(lines.len(), all.each().len());
        assert!(all.each().iter().all(|one| all.covers(one) && !one.covers(&all)));
    }

    #[test]
    fn asking_for_a_part_is_covered_and_asking_for_more_is_not() {
        let all = asks(ALL);
        for part in [
            "{ http: [\"GET https://*.example.com/v1\"] }",
            "{ tcp: [\"smtp.example.com:25\"], sockets: [\"10.1.0.0/16:80\"] }",
            "{ fs: { scratch: 1KiB } }",
            "{ env: [LANG] }",
            "{}",
        ] {
            assert!(all.covers(&asks(part)), "{part}");
        }
        for more in [
            "{ http: [\"https://*:*\"] }",
            "{ http: [\"http://a.example\"] }",
            "{ tcp: [\"smtp.example.com:587\"] }",
            "{ sockets: [\"11.0.0.1:80\"] }",
            "{ fs: { scratch: 2MiB } }",
            "{ env: [PATH] }",
            "{ secrets: [pin] }",
        ] {
            assert!(!all.covers(&asks(more)), "{more}");
        }
    }

    #[test]
    fn any_secret_covers_each_and_none_covers_any() {
        let any = asks("{ secrets: [\"*\"] }");
        assert!(any.covers(&asks("{ secrets: [key] }")) && any.covers(&any));
        assert!(!asks("{ secrets: [key] }").covers(&any));
    }

    #[test]
    fn only_what_reaches_outside_the_task_needs_a_grant() {
        assert!(
            !asks("{ clocks: true, random: true, fs: { out: write, scratch: 1B } }").needs_grants()
        );
        let alone = asks(ALL).each();
        assert_eq!(alone.iter().filter(|one| one.needs_grants()).count(), 7);
        assert_eq!(alone.iter().filter(|one| one.reach_outside()).count(), 3);
    }
}
