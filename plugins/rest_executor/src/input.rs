//! What a task says: the words of its input.
//!
//! What they mean is said elsewhere: [`crate::plan`], [`crate::success`], [`crate::pages`].

use std::collections::BTreeMap;
use std::fmt;

use apflow_sdk::{JsonSchema, schemars, secret};
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::success::Statuses;

/// The request to send.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where to: an absolute `http` or `https` address. A fragment is not sent.
    pub url: String,
    /// The method. `GET` if left out.
    #[serde(default)]
    pub method: Method,
    /// Headers to send. `Content-Type` and `User-Agent` are set if they are not among them.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Parameters that are added to the query of `url`, encoded, in the order of their names. A list
    /// repeats its name.
    #[serde(default)]
    pub query: BTreeMap<String, Parameter>,
    /// A body to send as JSON. `null` is no body.
    #[serde(default)]
    pub json: Option<Value>,
    /// A body to send as a form, `application/x-www-form-urlencoded`.
    #[serde(default)]
    pub form: Option<BTreeMap<String, Parameter>>,
    /// A body to send as it is, in UTF-8.
    #[serde(default)]
    pub body: Option<String>,
    /// A body of any bytes, in Base64.
    #[serde(default)]
    pub base64: Option<String>,
    /// A file below `/in` to send, at most 64 MiB.
    #[serde(default)]
    pub file: Option<String>,
    /// A body of several parts, `multipart/form-data`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    pub multipart: Option<Vec<Part>>,
    /// Who asks. It is not sent to another origin, wherever a redirect or a next page leads.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How long one request may take, in seconds; every redirect and every page is a new request.
    /// From 0.1 to 300; 30 if left out.
    #[serde(default = "timeout_seconds_default")]
    #[schemars(range(min = 0.1, max = 300.0))]
    pub timeout_seconds: f64,
    /// Whether the certificate of the server is verified. `false` needs a grant such as
    /// `http=https+insecure://10.0.0.5:8443`. True if left out.
    #[serde(default = "yes")]
    pub verify_tls: bool,
    /// What the body of the answer becomes. `auto` if left out.
    #[serde(default)]
    pub response: Format,
    /// The name of a file in `/out` that the body of a good answer is written to.
    #[serde(default)]
    pub save_as: Option<String>,
    /// The largest body of an answer, in bytes; of all pages together. Up to 16 MiB, and up to 1 GiB
    /// with `save_as`. 8 MiB if left out, and 1 GiB with `save_as`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_bytes: Option<u64>,
    /// The statuses that are a success, such as `["2xx", 304]`. If left out, all but 4xx, 5xx and
    /// redirects that are not followed.
    #[serde(default)]
    pub success: Option<Statuses>,
    /// Whether a status that is not a success fails the task. If not, the answer is the output
    /// whatever its status. True if left out.
    #[serde(default = "yes")]
    pub fail_on_status: bool,
    /// Whether a `POST` or `PATCH` carries an `Idempotency-Key`: the task's own, the same for every
    /// attempt, or this text. A header of that name in `headers` is sent instead. True if left out.
    #[serde(default)]
    pub idempotency_key: IdempotencyKey,
    /// How the next page is found, if the answer is one of several.
    #[serde(default)]
    pub paginate: Option<Paginate>,
}

const fn timeout_seconds_default() -> f64 {
    30.0
}

const fn yes() -> bool {
    true
}

/// What to do with the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the methods of RFC 9110 and RFC 5789")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Whether sending it twice does the same as sending it once, by RFC 9110 section 9.2.2.
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text, or a secret that the host fills in on the way out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// The text itself.
    Plain(String),
    /// A secret of the operator, which must be granted.
    Secret(SecretName),
}

/// Gives what stands for a secret.
pub type Secrets<'a> = &'a dyn Fn(&str) -> Result<String, secret::Error>;

impl Text {
    /// The text, or what stands for the secret.
    ///
    /// # Errors
    ///
    /// When the secret is not given.
    pub fn reveal(&self, secrets: Secrets<'_>) -> Result<String, secret::Error> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Secret(name) => secrets(&name.secret),
        }
    }
}

/// The name of a secret: `{"secret": "api_key"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretName {
    /// As the operator's secrets.yaml names it.
    pub secret: String,
}

/// The value of a parameter, or several of one name.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Parameter {
    /// One value.
    One(Scalar),
    /// Several values.
    Many(Vec<Scalar>),
    /// A secret of the operator, which must be granted.
    Secret(SecretName),
}

impl Parameter {
    /// Its values, as they are written.
    ///
    /// # Errors
    ///
    /// When a secret is not given.
    pub fn values(&self, secrets: Secrets<'_>) -> Result<Vec<String>, secret::Error> {
        Ok(match self {
            Self::One(value) => vec![value.to_string()],
            Self::Many(values) => values.iter().map(ToString::to_string).collect(),
            Self::Secret(name) => vec![secrets(&name.secret)?],
        })
    }
}

/// One value of a parameter.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(Number),
    /// Text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => flag.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// The header `Authorization: Bearer …`.
    Bearer(Text),
    /// The header `Authorization: Basic …`.
    Basic(Basic),
    /// A header or a parameter of the query.
    ApiKey(ApiKey),
}

/// A user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user name, without `:`.
    pub username: Text,
    /// The password.
    pub password: Text,
}

/// A key under a name of the server's choice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The name of the header or the parameter.
    pub name: String,
    /// The key.
    pub value: Text,
    /// Where it goes. `header` if left out.
    #[serde(default, rename = "in")]
    pub place: Place,
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Into a header.
    #[default]
    Header,
    /// Into the query.
    Query,
}

/// One part of a body. It has one of `text`, `json`, `base64` and `file`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The name of its field.
    pub name: String,
    /// Text, in UTF-8.
    #[serde(default)]
    pub text: Option<Text>,
    /// A value, as JSON.
    #[serde(default)]
    pub json: Option<Value>,
    /// Any bytes, in Base64.
    #[serde(default)]
    pub base64: Option<String>,
    /// A file below `/in`.
    #[serde(default)]
    pub file: Option<String>,
    /// The name that the server is told. The file's own if left out.
    #[serde(default)]
    pub filename: Option<String>,
    /// Its media type.
    #[serde(default)]
    pub content_type: Option<String>,
}

/// What the body of an answer becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `json` when the content type says so and the body is JSON, else `text` when it is UTF-8, else
    /// `base64`.
    #[default]
    Auto,
    /// JSON, whatever the content type says. The task fails if it is none.
    Json,
    /// Text. Bytes that are not UTF-8 become U+FFFD.
    Text,
    /// Base64.
    Base64,
}

/// Whether there is an `Idempotency-Key`, or which.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum IdempotencyKey {
    /// The task's own, or none.
    OfTask(bool),
    /// This one.
    Own(String),
}

impl Default for IdempotencyKey {
    fn default() -> Self {
        Self::OfTask(true)
    }
}

/// How the next page is found, and where its items are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paginate {
    /// How the next page is found.
    pub next: Next,
    /// The JSON pointer (RFC 6901) of the list of items. The whole body if left out.
    #[serde(default)]
    pub items: String,
    /// How many pages are read at most. 100 if left out.
    #[serde(default = "pages_default")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_pages: u32,
}

const fn pages_default() -> u32 {
    100
}

/// How the next page is found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// By the header `Link` with `rel="next"` (RFC 8288).
    Link,
    /// By the address at this JSON pointer. There is no next page where there is none.
    Pointer(String),
    /// By a cursor that is sent back. There is no next page where there is none.
    Cursor(Cursor),
    /// By its number, until a page has no items.
    Page(Counted),
    /// By the number of items so far, until a page has no items.
    Offset(Counted),
}

/// A cursor that is sent back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The JSON pointer of the cursor.
    pub pointer: String,
    /// The parameter of the query that it is sent as.
    pub parameter: String,
}

/// A number that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// The parameter of the query that it is sent as.
    pub parameter: String,
    /// The first number. 1 for pages and 0 for offsets if left out.
    #[serde(default)]
    pub first: Option<u64>,
}
