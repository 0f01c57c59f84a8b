//! What a plugin's manifest asks for.

use serde::{Deserialize, Serialize};

use super::http::HttpPattern;
use super::socket::SocketPattern;
use super::tcp::TcpPattern;
use crate::limit::Bytes;

/// The longest name of a secret.
const SECRET_NAME_CHARACTERS_MAX: usize = 64;

/// What a plugin's manifest asks for. Asking alone allows only what reaches nothing outside the
/// task: `clocks`, `random`, and the task's own folders.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Secrets that the host fills in on the way out.
    pub secrets: Vec<String>,
    /// Secrets whose value the plugin wants to hold itself.
    pub secret_values: Vec<String>,
    /// Whether it reads clocks.
    pub clocks: bool,
    /// Whether it draws random numbers.
    pub random: bool,
}

/// The folders that a plugin works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
