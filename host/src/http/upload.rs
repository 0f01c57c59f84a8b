//! Uploads: a body that is a file, or a form with one or more, taken in as a stream.

use std::convert::Infallible;

use apflow_api::{ApiError, Code, Input, Operation, Piece, UploadFile, Uploaded};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use multer::Multipart;
use tokio::sync::mpsc::{self, Sender};

use super::problem::Problem;
use super::{Door, RequestId, digest, route};

/// The most pieces of an upload that wait to be written.
const PIECES_WAITING_MAX: usize = 4;

/// Takes files in.
pub(super) async fn upload(State(door): State<Door>, request: Request) -> Response {
    let id = RequestId::of(&request);
    match receive(&door, request, &id).await {
        Ok(uploaded) => (StatusCode::CREATED, Json(uploaded)).into_response(),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

async fn receive(door: &Door, request: Request, id: &str) -> Result<Uploaded, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = door.caller(UploadFile::NAME, &parts).await?;
    let refused = |error: ApiError| Problem::of(&error, id);
    let sent = Sent::read(&mut parts, body).await?;
    let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    let operation = UploadFile { size: sent.size(&parts.headers), pieces };
    // An upload that is refused is answered at once, whatever is still to come of its body.
    tokio::select! {
        uploaded = door.api.invoke(operation, &caller) => uploaded.map_err(refused),
        never = sent.pass_on(sender) => match never? {},
    }
}

/// What an upload is sent as.
enum Sent {
    /// The body is the file, and this piece is its beginning.
    Raw(Piece, Body),
    /// The body is a form, whose parts are the files.
    Form(Multipart<'static>),
}

impl Sent {
    async fn read(parts: &mut Parts, body: Body) -> Result<Self, Problem> {
        let invalid = |error: ApiError| Problem::quietly(&error);
        let mut input = Input { fields: route::fields(parts).await?, ..Input::default() };
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let sha256 = digest::expected(&parts.headers).map_err(unreadable)?;
        let form = kind.filter(|kind| is_form(kind));
        let Some(form) = form else {
            let name = input.require("name").map_err(invalid)?;
            input.finish().map_err(invalid)?;
            return Ok(Self::Raw(Piece::File { name, sha256 }, body));
        };
        input.finish().map_err(invalid)?;
        if sha256.is_some() {
            let detail = "a digest of a form is not checked: say that of each file in its part";
            return Err(unreadable(detail.to_owned()));
        }
        let boundary =
            multer::parse_boundary(form).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self::Form(Multipart::new(body.into_data_stream(), boundary)))
    }

    /// How many bytes the files have, where that is known before.
    fn size(&self, headers: &HeaderMap) -> Option<u64> {
        match self {
            Self::Raw(..) => headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
            Self::Form(_) => None,
        }
    }

    /// Hands the pieces on, as fast as they are taken. Ends only with what is wrong with the body.
    async fn pass_on(self, pieces: Sender<Piece>) -> Result<Infallible, Problem> {
        match self {
            Self::Raw(file, body) => pass_on_raw(file, body, pieces).await,
            Self::Form(form) => pass_on_form(form, pieces).await?,
        }
        std::future::pending().await
    }
}

fn is_form(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("multipart/form-data")
}

/// A body that breaks off has no end. Nobody takes the pieces of an upload that was refused.
async fn pass_on_raw(file: Piece, mut body: Body, pieces: Sender<Piece>) {
    if pieces.send(file).await.is_err() {
        return;
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        let Ok(bytes) = frame.into_data() else { continue };
        if pieces.send(Piece::Bytes(bytes)).await.is_err() {
            return;
        }
    }
    drop(pieces.send(Piece::End).await);
}

async fn pass_on_form(mut form: Multipart<'static>, pieces: Sender<Piece>) -> Result<(), Problem> {
    let broken = |error: multer::Error| unreadable(format!("the form cannot be read: {error}"));
    while let Some(mut part) = form.next_field().await.map_err(broken)? {
        let name = part.file_name().map(str::to_owned).ok_or_else(|| {
            let part = part.name().unwrap_or_default();
            unreadable(format!("the part `{part}` is no file: give it a `filename`"))
        })?;
        let sha256 = digest::expected(part.headers())
            .map_err(|error| unreadable(format!("the part of `{name}`: {error}")))?;
        if pieces.send(Piece::File { name, sha256 }).await.is_err() {
            return Ok(());
        }
        while let Some(bytes) = part.chunk().await.map_err(broken)? {
            if pieces.send(Piece::Bytes(bytes)).await.is_err() {
                return Ok(());
            }
        }
    }
    drop(pieces.send(Piece::End).await);
    Ok(())
}

fn unreadable(detail: String) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_told_by_its_type() {
        assert!(is_form("multipart/form-data; boundary=x"));
        assert!(is_form("Multipart/Form-Data;boundary=x"));
        for other in ["", "multipart/mixed; boundary=x", "text/plain", "multipart/form-database"] {
            assert!(!is_form(other), "{other}");
        }
    }
}
