//! From a request to a verb of the table, and back.

use std::collections::BTreeMap;
use std::error::Error;

use apflow_api::{Answer, Code, Entry, Input, Method};
use axum::Json;
use axum::RequestPartsExt;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::listen::TooSlow;
use super::problem::Problem;
use super::{BODY_BYTES_MAX, Door, RequestId};

/// The route of a verb.
pub(super) fn of(entry: &'static Entry) -> MethodRouter<Door> {
    let method = match entry.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    on(method, |State(door): State<Door>, request: Request| answer(entry, door, request))
}

async fn answer(entry: &Entry, door: Door, request: Request) -> Response {
    let id = RequestId::of(&request);
    match invoke(entry, door, request, &id).await {
        Ok(answer) => respond(answer),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn invoke(entry: &Entry, door: Door, request: Request, id: &str) -> Result<Answer, Problem> {
    let (parts, body) = request.into_parts();
    let caller = door.caller(entry.name, &parts).await?;
    let input = match read(parts, body).await {
        Ok(input) => input,
        Err(problem) => {
            door.api.refused(entry.name, &caller, problem.code).await;
            return Err(problem);
        }
    };
    (entry.invoke)(door.api.clone(), caller, input).await.map_err(|error| Problem::of(&error, id))
}

fn respond(Answer { status, headers, body }: Answer) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (status, Json(body)).into_response();
    let headers = headers.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    });
    response.headers_mut().extend(headers);
    response
}

async fn read(mut parts: Parts, body: Body) -> Result<Input, Problem> {
    let fields = fields(&mut parts).await?;
    let headers = headers(&parts).map_err(invalid)?;
    let bytes = bytes(parts, body).await?;
    let body = match bytes.len() {
        0 => None,
        _ => Some(
            serde_json::from_slice(&bytes)
                .map_err(|error| invalid(format!("the body is not JSON: {error}")))?,
        ),
    };
    Ok(Input { fields, headers, body })
}

/// The whole body.
pub(super) async fn bytes(parts: Parts, body: Body) -> Result<Bytes, Problem> {
    let bytes = Bytes::from_request(Request::from_parts(parts, body), &()).await;
    bytes.map_err(|error| unreadable(&error))
}

/// The headers that verbs read.
pub(super) fn headers(parts: &Parts) -> Result<BTreeMap<&'static str, String>, String> {
    let mut headers = BTreeMap::new();
    for name in Input::HEADERS {
        for value in parts.headers.get_all(name) {
            let text = value.to_str().map(str::to_owned);
            let text = text.map_err(|_| format!("the header `{name}` is no plain text"))?;
            if headers.insert(name, text).is_some() {
                return Err(format!("the header `{name}` is given twice"));
            }
        }
    }
    Ok(headers)
}

/// The fields of the path and of the query.
pub(super) async fn fields(parts: &mut Parts) -> Result<BTreeMap<String, String>, Problem> {
    type Pairs = Vec<(String, String)>;
    let path = parts.extract::<Path<Pairs>>().await.map_err(|error| invalid(error.body_text()))?;
    let query =
        parts.extract::<Query<Pairs>>().await.map_err(|error| invalid(error.body_text()))?;
    let mut fields = BTreeMap::new();
    for (name, value) in path.0.into_iter().chain(query.0) {
        if fields.contains_key(&name) {
            return Err(invalid(format!("`{name}` is given twice")));
        }
        // Not every database can look for one.
        if value.contains('\0') {
            return Err(invalid(format!("`{name}` holds a NUL character")));
        }
        fields.insert(name, value);
    }
    Ok(fields)
}

pub(super) fn invalid(error: String) -> Problem {
    Problem::new(Code::InvalidRequest, error)
}

fn unreadable(error: &BytesRejection) -> Problem {
    if is_too_slow(error) {
        return Problem::new(Code::TooSlow, "the body comes too slowly: send it without pauses");
    }
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body is larger than {} MiB", BODY_BYTES_MAX >> 20);
            Problem::new(Code::PayloadTooLarge, detail)
        }
        _ => invalid(error.body_text()),
    }
}

fn is_too_slow(error: &BytesRejection) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<TooSlow>() {
            return true;
        }
        cause = error.source();
    }
    false
}
