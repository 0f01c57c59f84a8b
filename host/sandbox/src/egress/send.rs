//! Sends one admitted request, within the limits of its attempt.

use std::sync::Arc;
use std::time::Duration;

use apflow_model::capability::HttpTarget;
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Bounded, Way};
use super::connect::Destination;
use super::exchange::{Patience, exchange, too_many_headers};
use super::{Egress, secret};

pub(super) async fn send(
    egress: Egress,
    to: HttpTarget,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let limits = &egress.limits;
    let within = |own: Option<Duration>, most: Duration| own.map_or(most, |own| own.min(most));
    let patience = Patience {
        connect_max: within(options.connect_timeout, limits.connect_timeout),
        first_byte_max: within(options.first_byte_timeout, limits.idle_timeout),
    };
    let Patience { connect_max, first_byte_max } = patience;
    let silence_max = within(options.between_bytes_timeout, limits.idle_timeout);
    let (request, hide) = secret::fill(&egress, &to, origin_form(request, &to)?).await?;
    let request = request.map(|body| egress.outgoing(body));
    egress.reach_out().await;
    let asking = egress.visit(Destination::Http(&to), connect_max + first_byte_max);
    let asked = timeout(connect_max, asking).await.map_err(|_| Error::ConnectionTimeout)?;
    let visit = asked.map_err(|_| Error::DestinationUnavailable)?;
    let response = match exchange(&egress, &to, request, patience).await {
        Ok(response) => {
            visit.answered(response.status());
            response
        }
        Err(error) => {
            visit.failed(&error);
            return Err(error);
        }
    };
    check_headers(&egress, &response)?;
    let (bytes_max, ledger) = (limits.http_body_bytes, Arc::clone(&egress.ledger));
    let response = response
        .map(|body| Bounded::new(body, Way::In, bytes_max, silence_max, ledger).boxed_unsync());
    hide.apply(response)
}

impl Egress {
    /// A body on its way out, within the limits.
    pub(super) fn outgoing(&self, body: WasiBody) -> Bounded<WasiBody> {
        let (bytes_max, silence_max) = (self.limits.http_body_bytes, self.limits.idle_timeout);
        Bounded::new(body, Way::Out, bytes_max, silence_max, Arc::clone(&self.ledger))
    }
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
