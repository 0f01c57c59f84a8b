//! Sends one admitted request: connect, speak.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::{HttpTarget, Scheme};
use apflow_model::limit::{Breach, Limits};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Bounded, Way};
use super::connect::{Destination, Unreached};
use super::wire::Stream;
use super::{Egress, Io, Refusal, secret};

pub(super) async fn send(
    egress: Egress,
    to: HttpTarget,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Io), Error> {
    let limits = &egress.limits;
    let within = |own: Option<Duration>, most: Duration| own.map_or(most, |own| own.min(most));
    let connect_max = within(options.connect_timeout, limits.connect_timeout);
    let first_byte_max = within(options.first_byte_timeout, limits.idle_timeout);
    let silence_max = within(options.between_bytes_timeout, limits.idle_timeout);
    let (bytes_max, ledger) = (limits.http_body_bytes, Arc::clone(&egress.ledger));
    let (request, hide) = secret::fill(&egress, &to, origin_form(request, &to)?).await?;
    let request = request.map(|body| {
        Bounded::new(body, Way::Out, bytes_max, limits.idle_timeout, Arc::clone(&ledger))
    });
    let asking = egress.visit(Destination::Http(&to), connect_max + first_byte_max);
    let asked = timeout(connect_max, asking).await.map_err(|_| Error::ConnectionTimeout)?;
    let visit = asked.map_err(|_| Error::DestinationUnavailable)?;
    let exchanged = exchange(&egress, &to, request, connect_max, first_byte_max).await;
    let (response, connection) = match exchanged {
        Ok((response, connection)) => {
            visit.answered(response.status());
            (response, connection)
        }
        Err(error) => {
            visit.failed(&error);
            return Err(error);
        }
    };
    check_headers(&egress, &response)?;
    let response = response
        .map(|body| Bounded::new(body, Way::In, bytes_max, silence_max, ledger).boxed_unsync());
    Ok((hide.apply(response)?, Box::new(connection.ended())))
}

/// Connects, sends the request, and waits for the head of the answer.
async fn exchange(
    egress: &Egress,
    to: &HttpTarget,
    request: Request<Bounded<WasiBody>>,
    connect_max: Duration,
    first_byte_max: Duration,
) -> Result<(Response<Incoming>, Connection), Error> {
    let connecting = open(egress, to);
    let stream = timeout(connect_max, connecting).await.map_err(|_| Error::ConnectionTimeout)??;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(Limits::HTTP_HEADERS_MAX)
        .max_buf_size(buffer_bytes(egress.limits.http_header_bytes))
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = Connection(tokio::spawn(connection));
    let response = timeout(first_byte_max, sender.send_request(request))
        .await
        .map_err(|_| Error::HttpResponseTimeout)?
        .map_err(|error| unanswered(egress, error))?;
    Ok((response, connection))
}

/// Refuses an answer with too many bytes of headers: hyper's own limit is on its buffer, which holds
/// more or less of them as the reads fall.
fn check_headers<B>(egress: &Egress, response: &Response<B>) -> Result<(), Error> {
    let headers = response.headers().iter();
    let bytes: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes as u64 <= egress.limits.http_header_bytes {
        return Ok(());
    }
    Err(too_many_headers(egress, u32::try_from(bytes).ok()))
}

/// Why there is no answer: perhaps its headers did not even fit into hyper's buffer.
fn unanswered(egress: &Egress, error: hyper::Error) -> Error {
    if error.is_parse_too_large() { too_many_headers(egress, None) } else { error.into() }
}

fn too_many_headers(egress: &Egress, bytes: Option<u32>) -> Error {
    let breach = Breach::HttpHeaders(egress.limits.http_header_bytes);
    egress.ledger.refuse(Refusal::Breach(breach));
    Error::HttpResponseHeaderSectionSize(bytes)
}

/// How much of a response may be read before its headers end. hyper needs at least 8 KiB.
fn buffer_bytes(header_bytes_max: u64) -> usize {
    usize::try_from(header_bytes_max.saturating_mul(2)).unwrap_or(usize::MAX).max(16 << 10)
}

/// The form of a request line to an origin server: the path that was checked and the query, without
/// scheme and host.
fn origin_form(
    mut request: Request<WasiBody>,
    to: &HttpTarget,
) -> Result<Request<WasiBody>, Error> {
    let uri = match request.uri().query() {
        Some(query) => Uri::builder().path_and_query(format!("{}?{query}", to.path)).build(),
        None => Uri::builder().path_and_query(to.path.as_str()).build(),
    };
    *request.uri_mut() = uri.map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok(request)
}

/// Opens a connection that speaks what the scheme says.
async fn open(egress: &Egress, to: &HttpTarget) -> Result<Box<dyn Stream>, Error> {
    let stream = egress.connect(Destination::Http(to)).await?;
    Ok(match to.scheme {
        Scheme::Http => Box::new(stream),
        Scheme::Https => {
            let secured = egress.outside.tls.connect(&to.host, stream).await;
            Box::new(secured.map_err(Error::Tls)?)
        }
    })
}

impl From<Unreached> for Error {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Unresolved => Self::DnsError { rcode: None, info_code: None },
            Unreached::Denied(_) => Self::DestinationIpProhibited,
            Unreached::Refused(error) => Self::Connect(error),
        }
    }
}

/// The task that drives a connection. It ends with the body that needs it.
struct Connection(JoinHandle<Result<(), hyper::Error>>);

impl Connection {
    async fn ended(mut self) -> Result<(), Error> {
        match (&mut self.0).await {
            Ok(driven) => driven.map_err(Error::from),
            Err(_) => Err(Error::ConnectionTerminated),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}
