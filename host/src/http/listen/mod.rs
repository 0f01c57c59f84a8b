//! The listener: takes connections in, and serves HTTP/1.1 on each within limits.
//!
//! HTTP/2 is not spoken: it would need limits of its own for streams that are reset and heads that
//! never end, and clients of an API have little of it.

mod activity;
mod body;
mod patience;
mod places;
mod stream;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apflow_model::listener::ListenerSettings;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

pub(crate) use tls::{Tls, TlsError};

use activity::Activity;
pub(super) use body::TooSlow;
use body::{AnswerBody, PacedBody};
use patience::Grace;
use places::{Place, Places, PlacesMax};
use stream::PacedStream;

/// How many connections there are at most without another word.
const CONNECTIONS_MAX: u64 = 16_384;
/// Files that are open beside connections: those of the database, of attempts and of uploads.
const FILES_SPARE: u64 = 512;
/// How long to wait when no connection can be taken in.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);
/// What is read of a head at most before it is parsed. Not less than hyper wants.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// What takes connections in.
pub(crate) struct Listener {
    socket: TcpListener,
    /// Heard from the start: without a listener, the signal ends the process.
    hangup: Signal,
    serving: Arc<Serving>,
}

/// What every connection needs.
struct Serving {
    settings: ListenerSettings,
    tls: Option<Tls>,
    places: Arc<Places>,
    router: TowerToHyperService<Router>,
}

impl Listener {
    /// Takes connections in from a socket, for these routes.
    ///
    /// # Errors
    ///
    /// When the process cannot listen for SIGHUP.
    pub(crate) fn new(
        socket: TcpListener,
        tls: Option<Tls>,
        settings: ListenerSettings,
        router: Router,
    ) -> io::Result<Self> {
        let all =
            settings.connections_max.map_or_else(connections_allowed, |max| max.get() as usize);
        let per_address = settings.connections_per_address_max.map(|max| max.get() as usize);
        // Nobody alone can take them all.
        let per_address = per_address.unwrap_or_else(|| (all / 4 * 3).max(1));
        let places = Places::new(PlacesMax { all, per_address });
        let router = TowerToHyperService::new(router);
        let serving = Arc::new(Serving { settings, tls, places, router });
        Ok(Self { socket, hangup: signal(SignalKind::hangup())?, serving })
    }

    /// Answers requests until `ending` changes, and then those that have begun.
    pub(crate) async fn serve(self, mut ending: Receiver<()>) {
        let mut connections = JoinSet::new();
        let serving = &self.serving;
        let following = async {
            match &serving.tls {
                Some(tls) => tls.follow(self.hangup).await,
                None => std::future::pending().await,
            }
        };
        let mut following = pin!(following);
        loop {
            tokio::select! {
                // The sender may be gone, which is an end as well.
                _ = ending.changed() => break,
                () = &mut following => {}
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let connection = Connection::enter(serving, stream, peer);
                        if let Some(connection) = connection {
                            connections.spawn(connection.run(ending.clone()));
                        }
                    }
                    Err(error) => {
                        // Most often there are too many open files, which passes.
                        tracing::warn!(%error, "no connection can be taken in");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }
}

/// One connection that was taken in.
struct Connection {
    serving: Arc<Serving>,
    stream: TcpStream,
    peer: SocketAddr,
    activity: Activity,
    place: Place,
}

impl Connection {
    /// Gives a connection its place. None when there is none, which closes it.
    fn enter(serving: &Arc<Serving>, stream: TcpStream, peer: SocketAddr) -> Option<Self> {
        let activity = Activity::new();
        let is_proxy = serving.settings.trusted_proxies.contain(peer.ip());
        let counted = (!is_proxy).then_some(peer.ip());
        let Some(place) = serving.places.take(counted, activity.clone()) else {
            tracing::debug!(%peer, "a connection is refused: all places are taken");
            return None;
        };
        // Answers are small, and who waits for one waits for its last packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection ended at once");
            return None;
        }
        Some(Self { serving: Arc::clone(serving), stream, peer, activity, place })
    }

    async fn run(self, ending: Receiver<()>) {
        let Self { serving, stream, peer, activity, place } = self;
        let served = async {
            let Some(tls) = &serving.tls else {
                return serving.serve(stream, peer, activity, &place, ending).await;
            };
            let shaking = tls.acceptor().accept(stream);
            match tokio::time::timeout(serving.settings.head_seconds.seconds(), shaking).await {
                Ok(Ok(stream)) => serving.serve(stream, peer, activity, &place, ending).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        };
        tokio::select! {
            () = served => {}
            // In a handshake; while HTTP is spoken it is heard there first.
            () = place.lost() => {}
        }
    }
}

impl Serving {
    /// Speaks HTTP on a connection until it is closed.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        activity: Activity,
        place: &Place,
        mut ending: Receiver<()>,
    ) {
        let settings = &self.settings;
        let stream = PacedStream::new(
            stream,
            activity.clone(),
            settings.head_seconds.seconds(),
            self.grace(),
        );
        let service = service_fn(|request| self.answer(request, peer, &activity));
        let head_bytes_max = settings.head_bytes_max.get() as usize;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of one request to the whole head of the next; the stream knows when the
            // head began.
            .header_read_timeout(settings.idle_seconds.seconds())
            .max_headers(settings.headers_max.get() as usize)
            .max_header_size(head_bytes_max)
            .max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN))
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut is_ending = false;
        loop {
            tokio::select! {
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(%peer, error = apflow_api::chain(&error), "a connection was cut off");
                    }
                    return;
                }
                // What it answers is answered to its end, in case a request came at the same time.
                () = place.lost() => {}
                _ = ending.changed(), if !is_ending => is_ending = true,
            }
            if activity.free_since().is_some() {
                return;
            }
            connection.as_mut().graceful_shutdown();
        }
    }

    /// Answers one request.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        activity: &Activity,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let answering = activity.begins();
        let mut request = request.map(|body| Body::new(PacedBody::new(body, self.grace())));
        let client = self.client(&request, peer);
        request.extensions_mut().insert(ConnectInfo(client));
        let response = self.router.call(request).await?;
        let answering = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            answering.for_ever();
            None
        } else {
            Some(answering)
        };
        Ok(response.map(|inner| AnswerBody { inner, _answering: answering }))
    }

    /// Whose request it is: the peer's, or that of whom a trusted proxy names.
    fn client(&self, request: &Request, peer: SocketAddr) -> SocketAddr {
        let header = self.settings.proxy_header;
        let values = request.headers().get_all(header.name());
        let values = values.iter().filter_map(|value| value.to_str().ok());
        let client = self.settings.trusted_proxies.client(header, peer.ip(), values);
        // The port of another machine is not known.
        let port = if client == peer.ip().to_canonical() { peer.port() } else { 0 };
        SocketAddr::new(client, port)
    }

    fn grace(&self) -> Grace {
        Grace {
            wait_max: self.settings.patience_seconds.seconds(),
            bytes_per_second: self.settings.bytes_per_second_min.get(),
        }
    }
}

/// How many connections the limit of open files allows, once it is raised as far as it may be.
fn connections_allowed() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.unwrap_or(u64::MAX);
    let connections = (files.saturating_sub(FILES_SPARE) / 2).clamp(64, CONNECTIONS_MAX);
    usize::try_from(connections).unwrap_or(usize::MAX)
}
