//! Sends one admitted request: resolve, check, connect, speak.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::{HttpPattern, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Bounded, Way};
use super::{Destination, Egress, Io};

/// The longest wait for a name, a connection and its TLS handshake.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// The longest silence of a server, whatever the guest asks for: its own time limit comes first.
const SILENCE_MAX: Duration = Duration::from_mins(10);
/// The most headers of a response, and the most bytes of them.
const HEADERS_MAX: usize = 128;
const HEADER_BYTES_MAX: usize = 64 << 10;

pub(super) async fn send(
    egress: Egress,
    to: Destination,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<(Response<WasiBody>, Io), Error> {
    let connect_max = options.connect_timeout.unwrap_or(CONNECT_MAX).min(CONNECT_MAX);
    let first_byte_max = options.first_byte_timeout.unwrap_or(SILENCE_MAX).min(SILENCE_MAX);
    let silence_max = options.between_bytes_timeout.unwrap_or(SILENCE_MAX).min(SILENCE_MAX);
    let bytes_max = egress.plan.limits.http_body_bytes;
    let (ledger, request) = (Arc::clone(&egress.ledger), origin_form(request)?);
    let request = request
        .map(|body| Bounded::new(body, Way::Out, bytes_max, SILENCE_MAX, Arc::clone(&ledger)));
    let connecting = connect(&egress, &to);
    let stream = timeout(connect_max, connecting).await.map_err(|_| Error::ConnectionTimeout)??;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX * 2)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = Connection(tokio::spawn(connection));
    let response = timeout(first_byte_max, sender.send_request(request))
        .await
        .map_err(|_| Error::HttpResponseTimeout)??;
    check_headers(&response)?;
    let response = response
        .map(|body| Bounded::new(body, Way::In, bytes_max, silence_max, ledger).boxed_unsync());
    Ok((response, Box::new(connection.ended())))
}

/// Refuses an answer with too many bytes of headers: hyper's own limit is on its buffer, which holds
/// more or less of them as the reads fall.
fn check_headers<B>(response: &Response<B>) -> Result<(), Error> {
    let headers = response.headers().iter();
    let bytes: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= HEADER_BYTES_MAX {
        return Ok(());
    }
    Err(Error::HttpResponseHeaderSectionSize(u32::try_from(bytes).ok()))
}

/// The form of a request line to an origin server: path and query, without scheme and host.
fn origin_form(mut request: Request<WasiBody>) -> Result<Request<WasiBody>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().path_and_query(path).build();
    *request.uri_mut() = uri.map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok(request)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to an address that was checked, not to a name.
async fn connect(egress: &Egress, to: &Destination) -> Result<Box<dyn Stream>, Error> {
    let found = egress.outside.lookup(&to.host, to.port).await;
    let found = found.map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
    let reachable: Vec<SocketAddr> =
        found.iter().copied().filter(|found| egress.admits_address(to, found.ip())).collect();
    if reachable.is_empty() {
        if let Some(address) = found.first() {
            let literal = HttpPattern::exactly(to.scheme, &address.ip().to_string(), to.port);
            egress.deny(&format!(
                "a request to {} was refused: it leads to {}, which is not a public address; allow \
                 that as well with `--grant http={literal}`",
                to.pattern(),
                address.ip()
            ));
        }
        return Err(Error::DestinationIpProhibited);
    }
    #[expect(clippy::disallowed_methods, reason = "this is the egress: the addresses were checked")]
    let stream = TcpStream::connect(&reachable[..]).await.map_err(Error::Connect)?;
    // Requests are written whole: waiting for more to send would only delay them.
    stream.set_nodelay(true).map_err(Error::Connect)?;
    Ok(match to.scheme {
        Scheme::Http => Box::new(stream),
        Scheme::Https => Box::new(egress.outside.tls.connect(&to.host, stream).await?),
    })
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
