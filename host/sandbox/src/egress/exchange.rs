//! Exchanges a request for the head of its answer, on a connection that waits or on a new one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apflow_model::capability::{HttpTarget, Scheme};
use apflow_model::limit::{Breach, Limits};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, WasiBody};

use super::connect::{Destination, Unreached};
use super::idle::{Connection, Idle, Outgoing, Purpose};
use super::wire::Stream;
use super::{Egress, Refusal};

/// How long a connection may have waited for a request that cannot be repeated. The longer, the
/// likelier its server closes it just now.
const FRESH_MAX: Duration = Duration::from_secs(2);

/// How long to wait.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) connect_max: Duration,
    pub(super) first_byte_max: Duration,
}

/// Sends a request, and waits for the head of its answer.
///
/// On a connection that has waited, its server may have given up just before. A request of which
/// nothing was sent then goes out on a new connection. One that was sent is sent again only if it
/// has no body and doing it twice does the same as doing it once.
pub(super) async fn exchange(
    egress: &Egress,
    to: &HttpTarget,
    request: Outgoing,
    patience: Patience,
) -> Result<Response<Answer>, Error> {
    let purpose = Purpose {
        plugin: Arc::clone(&egress.scope.plugin),
        scheme: to.scheme,
        host: to.host.clone(),
        port: to.port,
        buffer_bytes: buffer_bytes(egress.limits.http_header_bytes),
    };
    let repeated = Repeated::of(&request);
    let waited_max = if repeated.is_some() { Duration::MAX } else { FRESH_MAX };
    let is_fit = |connection: &Connection| {
        egress.admit_address(Destination::Http(to), connection.address).is_ok()
    };
    let idle = &egress.outside.idle;
    let request = match idle.take(&purpose, waited_max, is_fit) {
        None => request,
        Some(connection) => {
            match ask(egress, connection, request, patience).await {
                Ok(answered) => return Ok(answered.keeping(idle, purpose)),
                Err(Unanswered::Unsent(request)) => *request,
                Err(Unanswered::Lost(_)) => match repeated {
                    Some(repeated) => repeated.request(egress),
                    // That its server closed a connection says nothing against it.
                    None => return Err(Error::ConnectionTerminated),
                },
                Err(Unanswered::Failed(error)) => return Err(error),
            }
        }
    };
    let connecting = open(egress, to, purpose.buffer_bytes);
    let connection =
        timeout(patience.connect_max, connecting).await.map_err(|_| Error::ConnectionTimeout)??;
    match ask(egress, connection, request, patience).await {
        Ok(answered) => Ok(answered.keeping(idle, purpose)),
        Err(Unanswered::Lost(error)) => Err(error.into()),
        Err(Unanswered::Failed(error)) => Err(error),
        Err(Unanswered::Unsent(_)) => Err(Error::ConnectionTerminated),
    }
}

/// A head that was answered, on this connection.
struct Answered {
    response: Response<Incoming>,
    connection: Connection,
}

/// Why there is no answer.
enum Unanswered {
    /// The connection was closed before anything was sent.
    Unsent(Box<Outgoing>),
    /// The connection was closed before an answer came.
    Lost(hyper::Error),
    /// Another connection would not make a difference.
    Failed(Error),
}

async fn ask(
    egress: &Egress,
    mut connection: Connection,
    request: Outgoing,
    patience: Patience,
) -> Result<Answered, Unanswered> {
    match timeout(patience.first_byte_max, connection.send(request)).await {
        Ok(Ok(response)) => Ok(Answered { response, connection }),
        Ok(Err(error)) => Err(unanswered(egress, error)),
        Err(_) => Err(Unanswered::Failed(Error::HttpResponseTimeout)),
    }
}

fn unanswered(egress: &Egress, mut error: TrySendError<Outgoing>) -> Unanswered {
    if let Some(request) = error.take_message() {
        return Unanswered::Unsent(Box::new(request));
    }
    let error = error.into_error();
    if error.is_parse_too_large() {
        // The headers did not even fit into the buffer.
        return Unanswered::Failed(too_many_headers(egress, None));
    }
    if error.is_parse() || error.is_user() {
        return Unanswered::Failed(error.into());
    }
    Unanswered::Lost(error)
}

/// Notes that an answer has too many bytes of headers.
pub(super) fn too_many_headers(egress: &Egress, bytes: Option<u32>) -> Error {
    let breach = Breach::HttpHeaders(egress.limits.http_header_bytes);
    egress.ledger.refuse(Refusal::Breach(breach));
    Error::HttpResponseHeaderSectionSize(bytes)
}

/// How much of a response may be read before its headers end. hyper needs at least 8 KiB.
fn buffer_bytes(header_bytes_max: u64) -> usize {
    usize::try_from(header_bytes_max.saturating_mul(2)).unwrap_or(usize::MAX).max(16 << 10)
}

/// A request that may be sent twice.
struct Repeated(Parts);

impl Repeated {
    fn of(request: &Outgoing) -> Option<Self> {
        // By RFC 9110 section 9.2.2.
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::PUT,
            Method::DELETE,
            Method::TRACE,
        ];
        if !methods.contains(request.method()) || !request.body().is_end_stream() {
            return None;
        }
        let (parts, ()) = Request::new(()).into_parts();
        let mut parts = parts;
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        Some(Self(parts))
    }

    fn request(self, egress: &Egress) -> Outgoing {
        let body: WasiBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        Request::from_parts(self.0, egress.outgoing(body))
    }
}

/// Opens a connection that speaks what the scheme says.
async fn open(egress: &Egress, to: &HttpTarget, buffer_bytes: usize) -> Result<Connection, Error> {
    let stream = egress.connect(Destination::Http(to)).await?;
    let address = stream.peer_addr().map_err(Error::Connect)?.ip();
    let tls = &egress.outside.tls;
    let stream: Box<dyn Stream> = match to.scheme {
        Scheme::Http => Box::new(stream),
        Scheme::Https => Box::new(tls.connect(&to.host, stream).await.map_err(Error::Tls)?),
        Scheme::HttpsInsecure => {
            Box::new(tls.connect_insecure(&to.host, stream).await.map_err(Error::Tls)?)
        }
    };
    let mut builder = http1::Builder::new();
    builder.max_headers(Limits::HTTP_HEADERS_MAX).max_buf_size(buffer_bytes);
    Ok(Connection::speak(&builder, stream, address).await?)
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

impl Answered {
    /// Lets the connection wait for the next request as soon as the body was read to its end.
    fn keeping(self, idle: &Arc<Idle>, purpose: Purpose) -> Response<Answer> {
        let Self { response, connection } = self;
        response.map(|body| {
            let kept = Some((connection, purpose));
            let mut answer = Answer { body, kept, idle: Arc::clone(idle) };
            answer.keep_at_end();
            answer
        })
    }
}

/// The body of an answer, and the connection that it comes on. Read to its end, it lets the
/// connection wait for the next request; dropped before, it closes it.
pub(super) struct Answer {
    body: Incoming,
    kept: Option<(Connection, Purpose)>,
    idle: Arc<Idle>,
}

impl Answer {
    fn keep_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some((connection, purpose)) = self.kept.take()
        {
            self.idle.keep(purpose, connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => this.kept = None,
            Some(Ok(_)) => this.keep_at_end(),
            None => {
                if let Some((connection, purpose)) = this.kept.take() {
                    this.idle.keep(purpose, connection);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::Full;
    use rustls::RootCertStore;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;
    use wasmtime_wasi_http::RequestOptions;

    use super::*;
    use crate::egress::tls::{self, Tls};
    use crate::egress::{Outside, send};
    use crate::fixture;

    const ASKS: &str = "capabilities: { http: [\"http://*:*\", \"https://*:*\", \
                        \"https+insecure://*:*\"] }";

    /// How a server ends a connection.
    #[derive(Clone, Copy)]
    enum Ends {
        /// When its client does.
        Never,
        /// Instead of the second answer.
        AtTheSecondRequest,
        /// After the first answer, without saying so.
        AfterTheFirstAnswer,
    }

    /// A server, and what it was asked.
    struct Server {
        address: SocketAddr,
        connections: Arc<AtomicUsize>,
        requests: Arc<AtomicUsize>,
    }

    impl Server {
        async fn start(ends: Ends, is_secured: bool) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::default());
            let (connected, asked) = (Arc::clone(&connections), Arc::clone(&requests));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connected.fetch_add(1, Ordering::SeqCst);
                    let asked = Arc::clone(&asked);
                    tokio::spawn(async move {
                        if is_secured {
                            let Ok(secured) = tls::accept(stream).await else { return };
                            serve(secured, ends, &asked).await;
                        } else {
                            serve(stream, ends, &asked).await;
                        }
                    });
                }
            });
            Self { address, connections, requests }
        }

        fn counts(&self) -> (usize, usize) {
            (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
        }

        fn egress(&self, grants: &[&str]) -> Egress {
            let ip = self.address.ip();
            let outside = Outside::new(Tls::trusting(RootCertStore::empty()), move |_, port| {
                Ok(vec![SocketAddr::new(ip, port)])
            });
            fixture::egress(ASKS, &[grants, &["net=127.0.0.0/8"]].concat(), outside)
        }
    }

    async fn serve(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        ends: Ends,
        asked: &AtomicUsize,
    ) {
        for answers in 0.. {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let has_body = String::from_utf8_lossy(&head).contains("content-length: 4");
            if has_body {
                stream.read_exact(&mut [0; 4]).await.unwrap();
            }
            asked.fetch_add(1, Ordering::SeqCst);
            if matches!(ends, Ends::AtTheSecondRequest) && answers == 1 {
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
            stream.flush().await.unwrap();
            if matches!(ends, Ends::AfterTheFirstAnswer) {
                return;
            }
        }
    }

    async fn open_answer(
        egress: &Egress,
        method: Method,
        url: &str,
    ) -> Result<Response<WasiBody>, Error> {
        let body = if method == Method::POST { "body" } else { "" };
        let mut request = Request::builder().method(method).uri(url);
        if !body.is_empty() {
            request = request.header("content-length", "4");
        }
        let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
        let request = request.body(body).unwrap();
        let to = crate::egress::target(&request).unwrap();
        send::send(egress.clone(), to, request, RequestOptions::default()).await
    }

    /// Sends a request, reads the answer to its end, and waits until its connection has settled.
    async fn ask(egress: &Egress, method: Method, url: &str) -> Result<(), Error> {
        let answer = open_answer(egress, method, url).await?;
        assert_eq!(answer.into_body().collect().await?.to_bytes(), "hello");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    #[tokio::test]
    async fn nothing_is_sent_before_the_guest_may_reach_out() {
        let server = Server::start(Ends::Never, false).await;
        let mut egress = server.egress(&["http=http://*:*"]);
        let waits = Arc::new(Semaphore::new(0));
        egress.port = Arc::new(fixture::Lines::waiting(Arc::clone(&waits)));
        let url = format!("http://a.example:{}/", server.address.port());
        let mut asking = Box::pin(ask(&egress, Method::GET, &url));
        tokio::select! {
            biased;
            asked = &mut asking => panic!("it did not wait: {asked:?}"),
            () = async { for _ in 0..100 { tokio::task::yield_now().await } } => {}
        }
        assert_eq!(server.counts(), (0, 0));
        waits.add_permits(1);
        asking.await.unwrap();
        assert_eq!(server.counts(), (1, 1));
    }

    #[tokio::test]
    async fn one_request_after_another_takes_one_connection() {
        let server = Server::start(Ends::Never, false).await;
        let egress = server.egress(&["http=http://*:*"]);
        let url = format!("http://a.example:{}/", server.address.port());
        for _ in 0..3 {
            ask(&egress, Method::GET, &url).await.unwrap();
            ask(&egress, Method::POST, &url).await.unwrap();
        }
        assert_eq!(server.counts(), (1, 6));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_to_its_end_closes_its_connection() {
        let server = Server::start(Ends::Never, false).await;
        let egress = server.egress(&["http=http://*:*"]);
        let url = format!("http://a.example:{}/", server.address.port());
        drop(open_answer(&egress, Method::GET, &url).await.unwrap());
        ask(&egress, Method::GET, &url).await.unwrap();
        assert_eq!(server.counts(), (2, 2));
    }

    #[tokio::test]
    async fn a_connection_serves_the_plugin_and_the_name_that_it_was_opened_for() {
        let server = Server::start(Ends::Never, false).await;
        let egress = server.egress(&["http=http://*:*"]);
        let port = server.address.port();
        ask(&egress, Method::GET, &format!("http://a.example:{port}/")).await.unwrap();
        ask(&egress, Method::GET, &format!("http://b.example:{port}/")).await.unwrap();
        assert_eq!(server.counts(), (2, 2));
        let mut other = egress.clone();
        other.scope.plugin = "other".into();
        ask(&other, Method::GET, &format!("http://a.example:{port}/")).await.unwrap();
        assert_eq!(server.counts(), (3, 3));
        ask(&egress, Method::GET, &format!("http://a.example:{port}/")).await.unwrap();
        assert_eq!(server.counts(), (3, 4));
    }

    #[tokio::test]
    async fn a_connection_to_an_address_that_is_not_granted_any_more_is_left_alone() {
        let server = Server::start(Ends::Never, false).await;
        let egress = server.egress(&["http=http://*:*"]);
        let url = format!("http://a.example:{}/", server.address.port());
        ask(&egress, Method::GET, &url).await.unwrap();
        let mut revoked = egress.clone();
        revoked.scope.granted = ["http=http://*:*".parse().unwrap()].into();
        let refused = ask(&revoked, Method::GET, &url).await;
        assert!(matches!(refused, Err(Error::DestinationIpProhibited)), "{refused:?}");
        assert_eq!(server.counts(), (1, 1));
    }

    #[tokio::test]
    async fn what_can_be_repeated_is_sent_again_when_its_server_had_given_up() {
        let server = Server::start(Ends::AtTheSecondRequest, false).await;
        let egress = server.egress(&["http=http://*:*"]);
        let url = format!("http://a.example:{}/", server.address.port());
        ask(&egress, Method::GET, &url).await.unwrap();
        ask(&egress, Method::GET, &url).await.unwrap();
        assert_eq!(server.counts(), (2, 3));
        let lost = ask(&egress, Method::POST, &url).await;
        assert!(matches!(lost, Err(Error::ConnectionTerminated)), "{lost:?}");
        assert_eq!(server.counts(), (2, 4), "it was not sent again");
    }

    #[tokio::test]
    async fn a_connection_that_its_server_closed_is_not_used_again() {
        let server = Server::start(Ends::AfterTheFirstAnswer, false).await;
        let egress = server.egress(&["http=http://*:*"]);
        let url = format!("http://a.example:{}/", server.address.port());
        for _ in 0..3 {
            ask(&egress, Method::POST, &url).await.unwrap();
        }
        assert_eq!(server.counts(), (3, 3));
    }

    #[tokio::test]
    async fn whoever_answers_is_spoken_to_by_its_own_scheme_alone() {
        let server = Server::start(Ends::Never, true).await;
        let egress = server.egress(&["http=https://*:*", "http=https+insecure://*:*"]);
        let port = server.address.port();
        let url = format!("https+insecure://a.example:{port}/");
        ask(&egress, Method::GET, &url).await.unwrap();
        ask(&egress, Method::GET, &url).await.unwrap();
        assert_eq!(server.counts(), (1, 2));
        let refused = ask(&egress, Method::GET, &format!("https://a.example:{port}/")).await;
        assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
        assert_eq!(server.counts(), (2, 2), "it goes over no connection that is not verified");
    }
}
