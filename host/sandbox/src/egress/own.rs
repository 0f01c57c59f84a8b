//! What the host itself asks of others, for example for the keys of a provider of identities, and what
//! it tells them.
//!
//! No guest has a part in it: where it goes, the operator says. So private addresses are fine. It
//! follows no redirect and reads no more than it was told to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::request::Builder;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use wasmtime_wasi_http::io::TokioIo;

use super::Outside;
use super::wire::Stream;

/// The host's own client.
#[derive(Clone, Default)]
pub struct OwnClient(Arc<Outside>);

impl OwnClient {
    /// Gets the body at an address: JSON, at most `bytes_max` of it, and `within` this time.
    ///
    /// # Errors
    ///
    /// What is wrong with the address, the way there, or the answer: anything but the status 200.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn get(&self, url: &str, bytes_max: usize, within: Duration) -> io::Result<Bytes> {
        let head = Request::get("/").header(ACCEPT, "application/json");
        let is_good = |status| status == StatusCode::OK;
        let exchange = self.exchange(url, head, Bytes::new(), is_good, Some(bytes_max));
        timeout(within, exchange).await.map_err(late)?
    }

    /// Posts JSON to an address, with these headers and `within` this time. What the answer says
    /// beside its status is not read.
    ///
    /// # Errors
    ///
    /// What is wrong with the address, the way there, or the answer: any status but 200 to 299.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection; what was posted may have arrived.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        within: Duration,
    ) -> io::Result<()> {
        let head = Request::post("/").header(CONTENT_TYPE, "application/json");
        let head = headers.iter().fold(head, |head, (name, value)| head.header(*name, value));
        let exchange = self.exchange(url, head, body, |status| status.is_success(), None);
        timeout(within, exchange).await.map_err(late)?.map(drop)
    }

    /// Sends a request and reads so much of the answer, or nothing.
    async fn exchange(
        &self,
        url: &str,
        head: Builder,
        body: Bytes,
        is_good: fn(StatusCode) -> bool,
        bytes_max: Option<usize>,
    ) -> io::Result<Bytes> {
        let uri: Uri = url.parse().map_err(io::Error::other)?;
        let wrong = || io::Error::other("this is no address of HTTP");
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_secured = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if is_secured { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = head.uri(path).header(HOST, authority.as_str()).body(Full::new(body));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.connect(host, port, is_secured).await?))
                .await
                .map_err(io::Error::other)?;
        let asking = sender.send_request(request.map_err(io::Error::other)?);
        let answering = async {
            let answer = asking.await.map_err(io::Error::other)?;
            if !is_good(answer.status()) {
                return Err(io::Error::other(format!("the answer is {}", answer.status())));
            }
            let Some(bytes_max) = bytes_max else { return Ok(Bytes::new()) };
            let (mut body, mut bytes) = (answer.into_body(), BytesMut::new());
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
                if bytes.len() + data.len() > bytes_max {
                    return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
                }
                bytes.extend_from_slice(&data);
            }
            Ok(bytes.freeze())
        };
        let mut answering = std::pin::pin!(answering);
        // The connection is driven here, so that it ends with this future.
        tokio::select! {
            answered = &mut answering => answered,
            ended = connection => match ended {
                Ok(()) => answering.await,
                Err(error) => Err(io::Error::other(error)),
            },
        }
    }

    async fn connect(
        &self,
        host: &str,
        port: u16,
        is_secured: bool,
    ) -> io::Result<Box<dyn Stream>> {
        let addresses = self.0.lookup(host, port).await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the egress: the operator says where it goes"
        )]
        let stream = TcpStream::connect(&addresses[..]).await?;
        if is_secured {
            return Ok(Box::new(self.0.tls.connect(host, stream).await?));
        }
        Ok(Box::new(stream))
    }
}

fn late(_: Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::egress::tls::{self, Tls};

    const AUTHORITY: &[u8] = include_bytes!("../../../../tests/certificates/authority.pem");
    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    const SOON: Duration = Duration::from_secs(30);

    async fn listen() -> (TcpListener, String) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        (server, address)
    }

    /// Reads a request and answers it. What the request said.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            said.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(said).unwrap()
    }

    /// What the client makes of this answer.
    async fn get(text: &str) -> Result<Bytes, String> {
        let (server, address) = listen().await;
        let (url, client) = (format!("http://{address}/keys?x=1"), OwnClient::default());
        let serving = async { answer(server.accept().await.unwrap().0, text).await };
        let (said, got) = tokio::join!(serving, client.get(&url, 8, SOON));
        assert!(said.starts_with("GET /keys?x=1 HTTP/1.1\r\n"), "{said}");
        assert!(said.contains(&format!("host: {address}\r\n")), "{said}");
        got.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_answer_is_had_whole_or_not_at_all() {
        assert_eq!(get(GOOD).await.as_deref(), Ok(&b"{}"[..]));
        let until_closed = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[]";
        assert_eq!(get(until_closed).await.as_deref(), Ok(&b"[]"[..]));
        for (text, what) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", "more than 8 bytes"),
            ("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "302"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", ""),
            ("nonsense\r\n\r\n", ""),
        ] {
            let error = get(text).await.unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn what_is_posted_arrives_whole_and_a_status_says_whether_it_was_taken() {
        for (status, is_taken) in [("204 No Content", true), ("500 Oh No", false)] {
            let (server, address) = listen().await;
            let (url, client) = (format!("http://{address}/hook"), OwnClient::default());
            let serving = async {
                let mut stream = server.accept().await.unwrap().0;
                let mut said = Vec::new();
                while !said.ends_with(b"{\"a\":1}") {
                    said.push(stream.read_u8().await.unwrap());
                }
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                String::from_utf8(said).unwrap()
            };
            let headers = [("webhook-id", "n_1".to_owned())];
            let posting = client.post(&url, &headers, Bytes::from_static(b"{\"a\":1}"), SOON);
            let (said, posted) = tokio::join!(serving, posting);
            assert!(said.starts_with("POST /hook HTTP/1.1\r\n"), "{said}");
            for header in ["webhook-id: n_1\r\n", "content-length: 7\r\n"] {
                assert!(said.contains(header), "{said}");
            }
            assert_eq!(posted.is_ok(), is_taken, "{status}: {posted:?}");
        }
    }

    #[tokio::test]
    async fn who_is_asked_in_tls_must_be_trusted() {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(AUTHORITY).unwrap()).unwrap();
        let resolver = |_: &str, port| Ok(vec![([127, 0, 0, 1], port).into()]);
        for (roots, name, is_trusted) in [
            (roots.clone(), "mail.example", true),
            (roots, "other.example", false),
            (RootCertStore::empty(), "mail.example", false),
        ] {
            let (server, address) = listen().await;
            let port = address.rsplit(':').next().unwrap();
            let client = OwnClient(Arc::new(Outside::new(Tls::trusting(roots), resolver)));
            let serving = async {
                match tls::accept(server.accept().await.unwrap().0).await {
                    Ok(stream) => drop(answer(stream, GOOD).await),
                    Err(_) => assert!(!is_trusted),
                }
            };
            let url = format!("https://{name}:{port}/");
            let ((), got) = tokio::join!(serving, client.get(&url, 8, SOON));
            assert_eq!(got.is_ok(), is_trusted, "{name}: {got:?}");
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_in_time_is_given_up() {
        let (_server, address) = listen().await;
        let client = OwnClient::default();
        let error = client.get(&format!("http://{address}/"), 8, Duration::from_millis(50)).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
