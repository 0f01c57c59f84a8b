//! Secrets on the way out and back: placeholders are filled in where they belong, and values that a
//! server sends back become placeholders again.
//!
//! It finds a value in the common encodings of [`crate::secret`], and in no other: a server that
//! turns it into something else is not seen through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apflow_model::capability::{HttpPattern, HttpTarget};
use apflow_model::event::{Level, LogLine};
use apflow_model::limit::Breach;
use apflow_model::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    PROXY_AUTHORIZATION,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::{Error, WasiBody};

use super::rewritten::{Rewritten, replace};
use super::{Egress, Refusal};
use crate::secret::{Needles, Pair, Placeholder, Secrets, Stream, forms, json, percent};

/// The largest body that is filled in before it is sent, so that its length can be told. A larger
/// one goes out in chunks.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Refuses a request that carries the placeholder of a secret, outside of its body, to where it does
/// not belong.
///
/// # Errors
///
/// The sentence for the operator.
pub(super) fn check<B>(
    secrets: &Secrets,
    to: &HttpTarget,
    request: &Request<B>,
) -> Result<(), String> {
    for index in carried(secrets.placeholders(), request) {
        let name = &secrets.placeholders()[index].name;
        if !secrets.belongs(name, to) {
            return Err(stray(secrets, name, to));
        }
    }
    Ok(())
}

/// Fills in what a request carries, and says what is to be hidden in the answer.
pub(super) async fn fill(
    egress: &Egress,
    to: &HttpTarget,
    mut request: Request<WasiBody>,
) -> Result<(Request<WasiBody>, Hide), Error> {
    let (secrets, placeholders) = (&egress.secrets, egress.secrets.placeholders());
    if placeholders.is_empty() {
        return Ok((request, Hide::default()));
    }
    let head = carried(placeholders, &request);
    let has_body = !request.body().is_end_stream();
    let mut stops = BTreeMap::new();
    let mut filled = Vec::new();
    for (index, placeholder) in placeholders.iter().enumerate() {
        if !secrets.belongs(&placeholder.name, to) {
            stops.insert(index, Stop::Stray(stray(secrets, &placeholder.name, to)));
        } else if has_body || head.contains(&index) {
            match secrets.read(&placeholder.name).await {
                Ok(value) => filled.push((placeholder, value)),
                Err(reason) => drop(stops.insert(index, Stop::unread(&placeholder.name, &reason))),
            }
        }
    }
    if let Some(stop) = head.iter().find_map(|index| stops.remove(index)) {
        return Err(stop.tell(egress));
    }
    let basic = fill_head(&mut request, &filled)?;
    check_size(egress, request.headers())?;
    let hide = Hide::new(secrets, basic, !filled.is_empty(), request.method());
    if hide.needles.is_some() {
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if has_body {
        request = fill_body(egress, request, &filled, stops).await?;
    }
    Ok((request, hide))
}

/// The places of the placeholders that a request carries outside of its body.
fn carried<B>(placeholders: &[Placeholder], request: &Request<B>) -> BTreeSet<usize> {
    if placeholders.is_empty() {
        return BTreeSet::new();
    }
    let texts =
        placeholders.iter().map(|placeholder| (placeholder.text.clone().into(), Vec::new()));
    let needles = Needles::new(texts);
    let mut hits = needles.hits(request.uri().to_string().as_bytes());
    for (name, value) in request.headers() {
        hits.extend(needles.hits(name.as_str().as_bytes()));
        hits.extend(needles.hits(value.as_bytes()));
        hits.extend(basic(value).into_iter().flat_map(|credentials| needles.hits(&credentials)));
    }
    hits
}

/// The name and the password of `Authorization: Basic`.
fn basic(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    STANDARD.decode(token.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))
}

/// Fills in the address and the headers. Returns the tokens of `Authorization: Basic` that were
/// made, each with what the guest wrote.
fn fill_head(
    request: &mut Request<WasiBody>,
    filled: &[(&Placeholder, Secret)],
) -> Result<Vec<Pair>, Error> {
    let in_url = needles(filled, percent);
    if let Some(uri) = in_url.replace(request.uri().to_string().as_bytes()) {
        *request.uri_mut() = Uri::try_from(uri).map_err(|_| Error::HttpRequestUriInvalid)?;
    }
    let (plain, mut tokens) = (needles(filled, str::to_owned), Vec::new());
    for (name, value) in request.headers_mut() {
        let mut written = plain.replace(value.as_bytes());
        if [AUTHORIZATION, PROXY_AUTHORIZATION].contains(name)
            && let Some(credentials) = basic(value).and_then(|found| plain.replace(&found))
        {
            let token = STANDARD.encode(credentials);
            let own = value.as_bytes().split(|byte| *byte == b' ').next_back().unwrap_or_default();
            tokens.push((token.clone().into_bytes(), own.to_owned()));
            written = Some(format!("Basic {token}").into_bytes());
        }
        if let Some(written) = written {
            let mut filled = HeaderValue::from_bytes(&written)
                .map_err(|_| Error::HttpRequestHeaderSize { field_name: None, field_size: None })?;
            filled.set_sensitive(true);
            *value = filled;
        }
    }
    Ok(tokens)
}

/// The placeholders, each with its value as `write` writes it.
fn needles(filled: &[(&Placeholder, Secret)], write: impl Fn(&str) -> String) -> Needles {
    let pair = |(placeholder, value): &(&Placeholder, Secret)| {
        (placeholder.text.clone().into_bytes(), write(value.expose()).into_bytes())
    };
    Needles::new(filled.iter().map(pair))
}

/// Refuses headers that the values made too large.
fn check_size(egress: &Egress, headers: &HeaderMap) -> Result<(), Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let bytes_max = egress.limits.http_header_bytes;
    if bytes as u64 <= bytes_max {
        return Ok(());
    }
    egress.ledger.refuse(Refusal::Breach(Breach::HttpHeaders(bytes_max)));
    Err(Error::HttpRequestHeaderSectionSize(u32::try_from(bytes).ok()))
}

/// Fills in the body: as a whole when its length was told and is small, else while it passes.
async fn fill_body(
    egress: &Egress,
    request: Request<WasiBody>,
    filled: &[(&Placeholder, Secret)],
    stops: BTreeMap<usize, Stop>,
) -> Result<Request<WasiBody>, Error> {
    let (mut head, body) = request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let write = writer(kind.unwrap_or_default());
    let pairs = egress.secrets.placeholders().iter().map(|placeholder| {
        let value = filled.iter().find(|(known, _)| known.name == placeholder.name);
        let put = value.map(|(_, value)| write(value.expose())).unwrap_or_default();
        (placeholder.text.clone().into_bytes(), put.into_bytes())
    });
    let (stream, mut stops) = (Stream::new(Arc::new(Needles::new(pairs))), stops);
    let telling = egress.clone();
    let stop = move |hits: &BTreeSet<usize>| {
        let stop = hits.iter().find_map(|index| stops.remove(index));
        stop.map(|stop| stop.tell(&telling))
    };
    let mut body = Rewritten::new(body, stream, Box::new(stop)).boxed_unsync();
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length: Option<u64> = length.and_then(|length| length.parse().ok());
    // What is only looked through keeps its length.
    if let Some(length) = length.filter(|_| !filled.is_empty()) {
        head.headers.remove(CONTENT_LENGTH);
        if length <= WHOLE_BYTES_MAX {
            let whole = collect(egress, body).await?;
            head.headers.insert(CONTENT_LENGTH, whole.len().into());
            body = Full::new(whole.into()).map_err(|never| match never {}).boxed_unsync();
        }
    }
    Ok(Request::from_parts(head, body))
}

async fn collect(egress: &Egress, mut body: WasiBody) -> Result<Vec<u8>, Error> {
    let bytes_max = egress.limits.http_body_bytes;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame?.into_data() {
            whole.extend_from_slice(&piece);
        }
        if whole.len() as u64 > bytes_max {
            egress.ledger.refuse(Refusal::Breach(Breach::HttpBody(bytes_max)));
            return Err(Error::HttpRequestBodySize(Some(whole.len() as u64)));
        }
    }
    Ok(whole)
}

/// How a value is written into a body of this type.
fn writer(content_type: &str) -> fn(&str) -> String {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" => percent,
        kind if kind.ends_with("/json") || kind.ends_with("+json") => json,
        _ => str::to_owned,
    }
}

/// Why a body may not go on.
enum Stop {
    /// It carries a secret to where it does not belong.
    Stray(String),
    /// It needs a secret that cannot be read.
    Unread(String),
}

impl Stop {
    fn unread(name: &str, reason: &str) -> Self {
        Self::Unread(format!("the secret `{name}` cannot be read: {reason}"))
    }

    /// Tells the task, and makes the error of the guest.
    fn tell(self, egress: &Egress) -> Error {
        match self {
            Self::Stray(denial) => {
                egress.deny(&denial);
                Error::HttpRequestDenied
            }
            Self::Unread(message) => {
                if egress.may_tell() {
                    let (level, fields) = (Level::Error, Vec::new());
                    egress.port.log(LogLine { level, message: message.clone(), fields });
                }
                Error::InternalError(Some(message))
            }
        }
    }
}

/// Says that a secret does not belong to a destination.
fn stray(secrets: &Secrets, name: &str, to: &HttpTarget) -> String {
    secrets.stray(name, &HttpPattern::exactly(to.scheme, &to.host, to.port).to_string())
}

/// What is to be hidden in an answer.
#[derive(Default)]
pub(super) struct Hide {
    /// The forms of all values that may come back, each with its placeholder. None: nothing may.
    needles: Option<Arc<Needles>>,
    /// Whether the request itself could carry a value.
    is_filled: bool,
    /// Whether the answer has no body, whatever its length says.
    is_head: bool,
}

impl Hide {
    fn new(secrets: &Secrets, basic: Vec<Pair>, is_filled: bool, method: &Method) -> Self {
        let known = secrets.known();
        let values = known.iter().flat_map(|(placeholder, value)| {
            let put = placeholder.text.as_bytes();
            forms(value.expose()).into_iter().map(move |form| (form, put.to_owned()))
        });
        let needles = Needles::new(basic.into_iter().chain(values));
        let needles = (!needles.is_empty()).then(|| Arc::new(needles));
        Self { needles, is_filled, is_head: *method == Method::HEAD }
    }

    /// Hides values in an answer. One that is compressed although nobody accepts that cannot be
    /// looked through.
    pub(super) fn apply(self, answer: Response<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let Some(needles) = self.needles else { return Ok(answer) };
        let (mut head, body) = answer.into_parts();
        let coding = head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
        let is_coded = coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        if is_coded && self.is_filled {
            return Err(Error::HttpResponseContentCoding(None));
        }
        head.headers = replace(&needles, head.headers);
        if !self.is_head {
            // What is hidden is of another length.
            head.headers.remove(CONTENT_LENGTH);
        }
        let body = Rewritten::new(body, Stream::new(needles), Box::new(|_| None)).boxed_unsync();
        Ok(Response::from_parts(head, body))
    }
}
