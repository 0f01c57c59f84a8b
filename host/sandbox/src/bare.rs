//! The least that a request costs: a bare client with a connection of its own, no guest and no
//! check. Only benchmarks use it.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use tokio::net::TcpStream;
use wasmtime_wasi_http::io::TokioIo;

/// A client of one server, over one connection.
#[derive(Debug)]
pub struct BareClient {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl BareClient {
    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[expect(clippy::disallowed_methods, reason = "what guests are compared with is no guest")]
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let host = HeaderValue::try_from(address.to_string()).map_err(io::Error::other)?;
        Ok(Self { sender, host })
    }

    /// Gets the body at a path.
    ///
    /// # Errors
    ///
    /// What is wrong with the connection or the answer.
    pub async fn get(&mut self, path: &str) -> io::Result<Bytes> {
        let request = Request::get(path).body(Bytes::new()).map_err(io::Error::other)?;
        Ok(self.ask(request).await?.into_body())
    }

    /// Sends a request to a path, and reads the answer to its end.
    ///
    /// # Errors
    ///
    /// What is wrong with the connection or the answer.
    pub async fn ask(&mut self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let mut request = request.map(Full::new);
        request.headers_mut().insert(HOST, self.host.clone());
        self.sender.ready().await.map_err(io::Error::other)?;
        let answer = self.sender.send_request(request).await.map_err(io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}
