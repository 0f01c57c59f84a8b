//! `/mcp`: the MCP door over HTTP, for callers that show a token.
//!
//! Every request stands for itself: nothing is kept between two of them, so any of several hosts may
//! answer the next.

use std::sync::Arc;

use apflow_api::Input;
use apflow_model::hops;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::{BODY_BYTES_MAX, Door, RequestId, route};
use crate::mcp::{Asker, Server, Verbs};

/// Where it is.
pub(super) const PATH: &str = "/mcp";

/// What the audit calls a request that is refused before it is known what it asks for.
const VERB: &str = "mcp";

type Service = StreamableHttpService<Server, NeverSessionManager>;

/// The route.
pub(super) fn route(door: &Door) -> MethodRouter<Door> {
    let ended = CancellationToken::new();
    let (token, mut ending) = (ended.clone(), door.ending.clone());
    tokio::spawn(async move {
        // The sender may be gone, which is an end as well.
        drop(ending.changed().await);
        token.cancel();
    });
    // Names of this host and origins are checked for all routes alike.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(BODY_BYTES_MAX)
        .with_cancellation_token(ended);
    let server = Server::of_requests(Verbs::Here(door.api.clone()));
    let service = Service::new(move || Ok(server.clone()), Arc::default(), config);
    post(move |State(door): State<Door>, request: Request| answer(service, door, request))
}

async fn answer(service: Service, door: Door, request: Request) -> Response {
    let id = RequestId::of(&request);
    match read(&door, request).await {
        Ok(request) => service.handle(request).await.map(Body::new),
        Err(problem) => problem.in_request(id).into_response(),
    }
}

/// The request with who asks.
async fn read(door: &Door, request: Request) -> Result<axum::http::Request<Full<Bytes>>, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = door.caller(VERB, &parts).await?;
    let invalid = |error| Problem::quietly(&error);
    let (fields, headers) =
        (route::fields(&mut parts).await?, route::headers(&parts).map_err(route::invalid)?);
    let mut input = Input { fields, headers, body: None };
    let lists_all = input.take("all").map_err(invalid)?.unwrap_or(false);
    let hops = input.take_header(hops::HEADER).map_err(invalid)?.unwrap_or_default();
    input.finish().map_err(invalid)?;
    let bytes = route::bytes(parts.clone(), body).await?;
    parts.headers.remove(AUTHORIZATION);
    parts.extensions.insert(Asker { caller, hops, lists_all });
    Ok(axum::http::Request::from_parts(parts, Full::new(bytes)))
}
