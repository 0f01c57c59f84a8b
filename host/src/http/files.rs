//! The verbs that carry bytes: uploads come in and files go out as streams.
//!
//! It answers no ranges: a file is had as a whole.

use std::convert::Infallible;
use std::fmt::Write;

use apflow_api::{ApiError, Input, OpenFile, OpenedFile, Piece, UploadFile};
use apflow_model::file::Upload;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{self, Sender};

use super::body::FileBody;
use super::problem::Problem;
use super::{Door, RequestId, route};

/// The most pieces of an upload that wait to be written.
const PIECES_WAITING_MAX: usize = 4;

/// Takes a file in.
pub(super) async fn upload(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match receive(&door, request, &id).await {
        Ok(upload) => (StatusCode::CREATED, Json(upload)).into_response(),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn receive(door: &Door, request: Request, id: &str) -> Result<Upload, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = door.access.caller(&parts).await?;
    let refused = |error: ApiError| Problem::of(&error, id);
    let mut input = Input { fields: route::fields(&mut parts).await?, ..Input::default() };
    let name = input.require("name").map_err(refused)?;
    input.finish().map_err(refused)?;
    let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    let operation = UploadFile { name, size: length(&parts.headers), pieces };
    let passing_on = async {
        pass_on(body, sender).await;
        std::future::pending::<Infallible>().await
    };
    // An upload that is refused is answered at once, whatever is still to come of its body.
    tokio::select! {
        uploaded = door.api.invoke(operation, &caller) => uploaded.map_err(refused),
        never = passing_on => match never {},
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Hands the pieces of a body on, as fast as they are taken. One that breaks off has no end.
async fn pass_on(mut body: Body, pieces: Sender<Piece>) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        let Ok(bytes) = frame.into_data() else { continue };
        if pieces.send(Piece::Bytes(bytes)).await.is_err() {
            return;
        }
    }
    // Nobody waits for it when the upload was refused.
    drop(pieces.send(Piece::End).await);
}

/// Hands a file out.
pub(super) async fn open(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match find(&door, request, &id).await {
        Ok(opened) => answer(opened),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn find(door: &Door, request: Request, id: &str) -> Result<OpenedFile, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = door.access.caller(&parts).await?;
    let input = Input { fields: route::fields(&mut parts).await?, ..Input::default() };
    let found = async { door.api.invoke(OpenFile::read(input)?, &caller).await };
    found.await.map_err(|error| Problem::of(&error, id))
}

/// A browser must neither show what a guest made up, nor guess what it is.
fn answer(OpenedFile { file, bytes }: OpenedFile) -> Response {
    let size = file.size;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_DISPOSITION, disposition(&file.name)),
        (CONTENT_LENGTH, HeaderValue::from(size)),
    ];
    (headers, Body::new(FileBody::new(bytes, size))).into_response()
}

/// The name to save a file under, as in RFC 6266: the last step of its path.
fn disposition(path: &str) -> HeaderValue {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut text = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        let text = |path| disposition(path).to_str().unwrap().to_owned();
        assert_eq!(text("below/report.csv"), "attachment; filename*=UTF-8''report.csv");
        assert_eq!(
            text("a\"; x=\r\n\u{e9}"),
            "attachment; filename*=UTF-8''a%22%3B%20x%3D%0D%0A%C3%A9"
        );
    }
}
