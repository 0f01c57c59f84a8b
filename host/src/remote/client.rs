//! A client of a server's API: any verb of the table, and what carries bytes.
//!
//! A request has a connection of its own: a command makes a few of them, then ends.

use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use apflow_api::{Body, Call, ListEvents, LoadedPlugin, Method, OpenFile, Remote, UploadPlugin};
use apflow_model::id::JobId;
use apflow_model::proxies::Proxies;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::announced::Announced;
use super::connect::{Route, Trust};
use super::error::{Refusal, RemoteError};
use super::form::Form;
use super::retry;
use super::settings::GatewaySettings;
use super::url::ServerUrl;

/// The most bytes of an answer that is read as a whole.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The most bytes of a refusal.
const REFUSAL_BYTES_MAX: usize = 4 << 20;
/// How long it takes to learn whether a server is there.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// A client of a server.
pub(crate) struct Client {
    route: Route,
    /// None for a server that nothing is known to be shown to.
    token: Option<HeaderValue>,
    timeout: Duration,
    retries: u32,
}

/// What a server says of itself to everybody.
#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    /// Its version.
    pub(crate) version: String,
}

/// A request, as often as it is sent.
pub(super) struct Asked {
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// Whether it does no harm when the server has done it already.
    is_repeatable: bool,
    /// How long it may take, if that is not what is usual.
    timeout: Option<Duration>,
}

/// How a good answer is read.
type Read<T> = for<'a> fn(&'a Client, Response<Incoming>) -> Reading<'a, T>;
/// What is read, to come.
type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, RemoteError>> + Send + 'a>>;

impl Asked {
    pub(super) fn of(call: Call) -> Self {
        let Call { method, target, mut headers, body } = call;
        let is_keyed = headers.iter().any(|(name, _)| *name == "idempotency-key");
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        Self {
            method,
            target,
            headers,
            body: body.map(|body| body.to_string().into()).unwrap_or_default(),
            is_repeatable: is_keyed || matches!(method, Method::Get | Method::Put),
            timeout: None,
        }
    }
}

impl Client {
    /// A client of the server that the settings name.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Settings`] when the way to it is set wrong.
    pub(crate) fn of_settings(
        server: &ServerUrl,
        settings: &GatewaySettings,
    ) -> Result<Self, RemoteError> {
        let trust = Trust::Authorities(settings.ca_file.as_deref());
        let route = Route::new(server.clone(), &trust, &settings.proxies)?;
        let own = settings.own_token.as_ref().filter(|_| server.is_here());
        Self::new(route, settings.token.as_ref().or(own).map(String::as_str), settings)
    }

    /// A client of a server that works on the data directory.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Settings`] when what it said of itself cannot be used.
    pub(crate) fn of_announced(
        announced: &Announced,
        settings: &GatewaySettings,
    ) -> Result<Self, RemoteError> {
        let trust = match &announced.certificate {
            Some(file) => Trust::Exactly(file),
            None => Trust::Authorities(None),
        };
        // It is on this machine.
        let route = Route::new(announced.url.clone(), &trust, &Proxies::default())?;
        Self::new(route, Some(&announced.token), settings)
    }

    fn new(
        route: Route,
        token: Option<&str>,
        settings: &GatewaySettings,
    ) -> Result<Self, RemoteError> {
        let bearer = |token: &str| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                RemoteError::Settings(
                    "the token for the server cannot be a header: it is visible ASCII, in \
                     `APFLOW_API_AUTH_TOKEN` or as `api_token` in config.yaml"
                        .to_owned(),
                )
            })?;
            value.set_sensitive(true);
            Ok::<_, RemoteError>(value)
        };
        let token = token.map(bearer).transpose()?;
        Ok(Self { route, token, timeout: settings.timeout, retries: settings.retries })
    }

    /// The URL of the server.
    pub(crate) fn server(&self) -> &ServerUrl {
        self.route.server()
    }

    /// What is shown to it. Whoever asks for it keeps it out of logs.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref()?.to_str().ok()?.strip_prefix("Bearer ")
    }

    /// Looks whether the server is there, once and not for long.
    ///
    /// # Errors
    ///
    /// [`RemoteError`] when it does not answer.
    pub(crate) async fn probe(&self) -> Result<Health, RemoteError> {
        let health = Call::to(Method::Get, "/health", Body::None, &())?;
        let asked = Asked { timeout: Some(PROBE_MAX.min(self.timeout)), ..Asked::of(health) };
        let bytes = self.once(&asked, Self::read_whole).await?;
        serde_json::from_slice(&bytes)
            .map_err(|_| self.foreign(200, "something else than an apflow-host does".to_owned()))
    }

    /// Does a verb of the table.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) async fn invoke<R: Remote>(&self, operation: &R) -> Result<R::Output, RemoteError> {
        self.read(&Asked::of(Call::of(operation)?)).await
    }

    /// Asks for a verb of the table, and answers its JSON.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) async fn call(&self, call: Call) -> Result<Value, RemoteError> {
        self.read(&Asked::of(call)).await
    }

    /// Installs a plugin or a tool, which may take `compile_timeout` beyond what is usual.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub(crate) async fn load(
        &self,
        form: Form,
        compile_timeout: Duration,
    ) -> Result<LoadedPlugin, RemoteError> {
        let (kind, body) = form.finish();
        let call = Call::to(Method::Post, UploadPlugin::PATH, Body::None, &())?;
        let asked = Asked {
            headers: vec![("content-type", kind)],
            body: body.into(),
            // Loading the same again changes nothing.
            is_repeatable: true,
            timeout: Some(self.timeout + compile_timeout),
            ..Asked::of(call)
        };
        self.read(&asked).await
    }

    /// Writes the bytes of a file that a task left.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]; the inner error when it cannot be written.
    pub(crate) async fn save(
        &self,
        open: &OpenFile,
        into: &mut impl Write,
    ) -> Result<std::io::Result<()>, RemoteError> {
        let asked = Asked::of(Call::to(Method::Get, OpenFile::PATH, Body::None, open)?);
        let mut body = self.open(&asked).await?;
        while let Some(bytes) = self.piece(&mut body, self.timeout).await? {
            if let Err(error) = into.write_all(&bytes) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Opens the stream of a job's events.
    pub(super) async fn events(&self, id: JobId, after: u64) -> Result<Incoming, RemoteError> {
        let list = ListEvents { id, after, limit: None, wait: None };
        let mut asked = Asked::of(Call::of(&list)?);
        asked.headers.push(("accept", "text/event-stream".to_owned()));
        self.open(&asked).await
    }

    /// The next bytes of an answer. None at its end.
    pub(super) async fn piece(
        &self,
        body: &mut Incoming,
        timeout: Duration,
    ) -> Result<Option<Bytes>, RemoteError> {
        loop {
            let frame = tokio::time::timeout(timeout, body.frame()).await;
            match frame.map_err(|_| self.timed_out(timeout))? {
                None => return Ok(None),
                Some(Err(source)) => return Err(self.broken(source)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// The JSON of a good answer.
    async fn read<T: DeserializeOwned>(&self, asked: &Asked) -> Result<T, RemoteError> {
        let bytes = self.ask(asked, Self::read_whole).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.foreign(200, format!("what this version cannot read: {error}")))
    }

    /// The body of a good answer, as it comes.
    async fn open(&self, asked: &Asked) -> Result<Incoming, RemoteError> {
        self.ask(asked, |_, answer| Box::pin(async { Ok(answer.into_body()) })).await
    }

    /// Asks until there is a good answer, or no use in going on.
    async fn ask<T>(&self, asked: &Asked, read: Read<T>) -> Result<T, RemoteError> {
        let mut tries = 0;
        loop {
            let error = match self.once(asked, read).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = retry::wait(error.tried(), asked.is_repeatable, tries, self.retries);
            let Some(wait) = wait else { return Err(error) };
            tracing::info!(%error, wait_ms = wait.as_millis(), "a request is sent again");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    async fn once<T>(&self, asked: &Asked, read: Read<T>) -> Result<T, RemoteError> {
        let timeout = asked.timeout.unwrap_or(self.timeout);
        let exchange = async {
            let mut sender = self.route.connect().await?;
            let request = self.request(asked)?;
            let answer =
                sender.send_request(request).await.map_err(|source| self.broken(source))?;
            match answer.status().as_u16() {
                200..=299 => read(self, answer).await,
                _ => Err(self.refusal(answer).await),
            }
        };
        let done = tokio::time::timeout(timeout, Box::pin(exchange)).await;
        done.map_err(|_| self.timed_out(timeout))?
    }

    fn request(&self, asked: &Asked) -> Result<Request<Full<Bytes>>, RemoteError> {
        let unsendable = |what: &str| {
            RemoteError::Settings(format!("{what} cannot stand in a request to a server"))
        };
        let mut request = Request::new(Full::new(asked.body.clone()));
        let method = asked.method.name().parse();
        *request.method_mut() = method.map_err(|_| unsendable("the method"))?;
        let target = self.route.target(&asked.target).parse();
        *request.uri_mut() = target.map_err(|_| unsendable("the path"))?;
        let headers = request.headers_mut();
        let host = HeaderValue::try_from(self.server().authority.as_str());
        headers.insert(HOST, host.map_err(|_| unsendable("the name of the server"))?);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, text) in &asked.headers {
            let value = HeaderValue::try_from(text.as_str()).map_err(|_| unsendable(name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if let Some(shown) = self.route.proxy_authorization() {
            headers.insert("proxy-authorization", shown.clone());
        }
        Ok(request)
    }

    /// [`Client::whole`] as it is handed on.
    fn read_whole(&self, answer: Response<Incoming>) -> Reading<'_, Bytes> {
        Box::pin(self.whole(answer))
    }

    /// Reads an answer as a whole.
    async fn whole(&self, answer: Response<Incoming>) -> Result<Bytes, RemoteError> {
        let status = answer.status().as_u16();
        match Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(match error.downcast::<hyper::Error>() {
                Ok(source) => self.broken(*source),
                Err(error) if error.is::<LengthLimitError>() => {
                    self.foreign(status, format!("more than {ANSWER_BYTES_MAX} bytes"))
                }
                Err(error) => self.foreign(status, error.to_string()),
            }),
        }
    }

    /// What an answer refuses.
    async fn refusal(&self, answer: Response<Incoming>) -> RemoteError {
        let status = answer.status();
        let header = |name: HeaderName| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let retry_after = header(RETRY_AFTER).and_then(|text| text.parse().ok());
        let request = header(HeaderName::from_static("x-request-id"));
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        if kind.starts_with("application/problem+json")
            && let Ok(body) = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX).collect().await
            && let Ok(refusal) = serde_json::from_slice::<Refusal>(&body.to_bytes())
        {
            return RemoteError::Refused(Box::new(Refusal {
                status: status.as_u16(),
                retry_after: refusal.retry_after.or(retry_after),
                request: refusal.request.or(request),
                ..refusal
            }));
        }
        self.foreign(status.as_u16(), format!("{status}, and not as an apflow-host does"))
    }

    fn timed_out(&self, timeout: Duration) -> RemoteError {
        RemoteError::TimedOut { server: self.server().to_string(), timeout }
    }

    fn broken(&self, source: hyper::Error) -> RemoteError {
        RemoteError::Broken { server: self.server().to_string(), source }
    }

    fn foreign(&self, status: u16, what: String) -> RemoteError {
        RemoteError::Foreign { server: self.server().to_string(), what, status }
    }
}
