//! How a verb is called from afar: by a method, a path, fields and a body.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use apflow_model::hops::{self, Hops};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::body::Body;
use crate::code::Code;
use crate::error::ApiError;
use crate::operation::Operation;

/// The longest that a caller may wait, in seconds.
pub(crate) const WAIT_SECONDS_MAX: f64 = 300.0;

/// How hosts stand in [`hops::HEADER`].
const HOPS: &str = "^(h_[0-9a-f]{16}(, *h_[0-9a-f]{16})*)?$";

/// What the schemas of verbs say of a `wait`, as [`Input::take_wait`] reads it.
pub(crate) enum WaitSeconds {}

impl JsonSchema for WaitSeconds {
    fn schema_name() -> Cow<'static, str> {
        "WaitSeconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": WAIT_SECONDS_MAX })
    }
}

/// Writes a `wait` as [`Input::take_wait`] reads it.
#[expect(clippy::ref_option, reason = "a field is written by its reference")]
pub(crate) fn wait_seconds<S: Serializer>(
    wait: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    wait.map(|wait| wait.as_secs_f64()).serialize(serializer)
}

/// Writes hosts as they stand in the header, and nothing when there are none.
pub(crate) fn hops_header<S: Serializer>(hops: &Hops, serializer: S) -> Result<S::Ok, S::Error> {
    if hops.is_empty() { serializer.serialize_none() } else { serializer.collect_str(hops) }
}

/// What the schemas of verbs say of the header [`hops::HEADER`].
pub(crate) enum HopsHeader {}

impl JsonSchema for HopsHeader {
    fn schema_name() -> Cow<'static, str> {
        "HopsHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": HOPS, "examples": ["h_0123456789abcdef"] })
    }
}

/// A verb that can be called from afar.
///
/// The schema of the type is that of its input, under the names that [`read`](Self::read) takes: the
/// comment on the type says what the verb does, and those on its fields what they are for. Its JSON
/// has the same names, so [`Call`](crate::Call) writes what is read here.
pub trait Remote:
    Operation<Output: JsonSchema + DeserializeOwned> + JsonSchema + Serialize
{
    /// The method.
    const METHOD: Method;
    /// The path, with fields in braces: `/api/v1/jobs/{id}`.
    const PATH: &'static str;
    /// What of the input stands in the body.
    const BODY: Body = Body::None;
    /// The statuses that a good answer has.
    const STATUSES: &'static [u16] = &[200];
    /// The codes that it is refused with, beside those that every verb may be ([`Code::OF_ALL`]).
    const ERRORS: &'static [Code] = &[];

    /// Reads the verb's input. Fields that it leaves over are refused afterwards.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] for what cannot be read.
    fn read(input: &mut Input) -> Result<Self, ApiError>;

    /// The HTTP status of a good answer.
    fn status(_: &Self::Output) -> u16 {
        200
    }

    /// What the headers of a good answer say, beside its body.
    fn headers(_: &Self::Output) -> Headers {
        Vec::new()
    }
}

/// Headers by name.
pub type Headers = Vec<(&'static str, String)>;

/// An HTTP method that verbs are called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What came with a request.
#[derive(Debug, Default)]
pub struct Input {
    /// The fields of the path and of the query.
    pub fields: BTreeMap<String, String>,
    /// Those of its headers that verbs read ([`Input::HEADERS`]). One that the verb has no use for
    /// is left alone.
    pub headers: BTreeMap<&'static str, String>,
    /// The body, if there was one.
    pub body: Option<Value>,
}

impl Input {
    /// The headers that verbs read, in small letters.
    pub const HEADERS: [&'static str; 2] = ["idempotency-key", hops::HEADER];

    /// A request with these fields, each where a verb with this body looks for it. Those that are null
    /// are left out.
    pub fn of(body: Body, fields: Map<String, Value>) -> Self {
        let (mut input, mut of_body) = (Self::default(), Map::new());
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            if matches!(body, Body::Whole(field) if field == name) {
                input.body = Some(value);
                continue;
            }
            if body.holds(&name) {
                of_body.insert(name, value);
                continue;
            }
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match Self::HEADERS.into_iter().find(|header| *header == name) {
                Some(header) => input.headers.insert(header, text),
                None => input.fields.insert(name, text),
            };
        }
        if !of_body.is_empty() {
            input.body = Some(of_body.into());
        }
        input
    }

    /// Takes a header out.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when it is there but cannot be read.
    pub fn take_header<T>(&mut self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.headers.remove(name) else { return Ok(None) };
        let invalid =
            |error| ApiError::InvalidRequest(format!("the header `{name}` is not valid: {error}"));
        text.parse().map(Some).map_err(invalid)
    }

    /// Takes a field out.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when it is there but cannot be read.
    pub fn take<T>(&mut self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.fields.remove(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| invalid(name, &text, &error))
    }

    /// Takes out `wait`: how long the answer may be waited for, in seconds.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when it is no number from 0 to 300.
    pub fn take_wait(&mut self) -> Result<Option<Duration>, ApiError> {
        match self.take::<f64>("wait")? {
            None => Ok(None),
            Some(seconds) if (0.0..=WAIT_SECONDS_MAX).contains(&seconds) => {
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            Some(seconds) => Err(ApiError::InvalidRequest(format!(
                "`wait` is {seconds}: expected 0 to {WAIT_SECONDS_MAX} seconds"
            ))),
        }
    }

    /// Takes the body out; what it is when there is none.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when it is there but cannot be read.
    pub fn take_body<T>(&mut self) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Default,
    {
        let body = self.body.take().map(serde_json::from_value).transpose();
        let unreadable = |error| ApiError::InvalidRequest(format!("the body: {error}"));
        Ok(body.map_err(unreadable)?.unwrap_or_default())
    }

    /// Takes out a field that is a word or a moment of the JSON shapes.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when it is there but cannot be read.
    pub fn take_json<T>(&mut self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: DeserializeOwned,
    {
        let Some(text) = self.fields.remove(name) else { return Ok(None) };
        let read = serde_json::from_value(Value::String(text.clone()));
        read.map(Some).map_err(|error| invalid(name, &text, &error))
    }

    /// Takes out a field that must be there.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when it is not there or cannot be read.
    pub fn require<T>(&mut self, name: &str) -> Result<T, ApiError>
    where
        T: FromStr<Err: Display>,
    {
        let missing = || ApiError::InvalidRequest(format!("`{name}` is missing"));
        self.take(name)?.ok_or_else(missing)
    }

    /// Refuses what is left over.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] naming the first field that no verb has taken.
    pub fn finish(&self) -> Result<(), ApiError> {
        match self.fields.keys().next() {
            Some(name) => Err(ApiError::InvalidRequest(format!("`{name}` is not known here"))),
            None if self.body.is_some() => {
                Err(ApiError::InvalidRequest("a body is not expected here".to_owned()))
            }
            None => Ok(()),
        }
    }
}

fn invalid(name: &str, text: &str, error: &impl Display) -> ApiError {
    ApiError::InvalidRequest(format!("`{name}` is `{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_verb_takes_is_refused() {
        let fields = BTreeMap::from([("limit".to_owned(), "7".to_owned())]);
        let mut input = Input { fields, ..Input::default() };
        assert!(input.finish().unwrap_err().to_string().contains("`limit` is not known"));
        assert_eq!(input.take::<u32>("limit").unwrap(), Some(7));
        assert!(input.finish().is_ok());
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named() {
        let fields = BTreeMap::from([("limit".to_owned(), "many".to_owned())]);
        let error =
            Input { fields, ..Input::default() }.take::<u32>("limit").unwrap_err().to_string();
        assert!(error.starts_with("`limit` is `many`"), "{error}");
    }
}
