//! What a host says of itself to whoever watches over it: `/health`, `/ready` and `/metrics`.
//!
//! They are pages of the door, and of an address of their own where the settings name one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use apflow_api::{Api, Code};
use apflow_model::metric::Page;
use apflow_model::telemetry::MetricsAccess;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::metrics::{self, Metrics};
use super::problem::Problem;
use crate::reload::Reloads;

/// What the pages are written from.
#[derive(Clone)]
pub(crate) struct Pages {
    api: Api,
    started: Arc<Started>,
    reloads: Arc<Reloads>,
    /// Who may read the metrics at the door.
    pub(super) metrics_access: MetricsAccess,
    /// What the door counts.
    pub(super) counted: Arc<Metrics>,
}

/// How far the host has come.
#[derive(Debug, Default)]
pub(crate) struct Started(AtomicU8);

impl Started {
    const DISPATCHING: u8 = 1;
    const IDLE: u8 = 2;

    /// What others left is taken up, and tasks are dispatched: unless that is left to workers.
    pub(crate) fn now(&self, dispatches: bool) {
        let state = if dispatches { Self::DISPATCHING } else { Self::IDLE };
        self.0.store(state, Ordering::Release);
    }

    fn part(&self) -> (bool, Value) {
        match self.0.load(Ordering::Acquire) {
            Self::DISPATCHING => (true, json!({ "status": "ok" })),
            Self::IDLE => (true, json!({ "status": "ok", "dispatches": false })),
            _ => (false, json!({ "status": "starting" })),
        }
    }
}

impl Pages {
    pub(crate) fn new(
        api: Api,
        started: Arc<Started>,
        reloads: Arc<Reloads>,
        metrics_access: MetricsAccess,
    ) -> Self {
        Self { api, started, reloads, metrics_access, counted: Arc::default() }
    }

    /// The pages alone, for an address that only those reach who watch over the host.
    pub(crate) fn router(self) -> Router {
        let ready = |State(pages): State<Self>| async move { pages.ready(String::new()).await };
        let page = |State(pages): State<Self>, headers: HeaderMap| async move {
            pages.metrics(&headers).await
        };
        Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(page))
            .with_state(self)
    }

    pub(super) async fn metrics(&self, headers: &HeaderMap) -> Response {
        metrics::answer(&self.read().await, headers)
    }

    /// The page of metrics.
    pub(crate) async fn read(&self) -> Page {
        metrics::read(&self.api, &self.counted).await
    }

    /// Whether work can be taken in and done, for whoever sends it here: what of the host is well,
    /// and what is not. Settings that were refused do not keep it from work: the old ones hold.
    pub(super) async fn ready(&self, request: String) -> Response {
        // The store has logged why.
        let database = self.api.check();
        let plugins = self.api.count_plugins().await;
        let (is_started, engine) = self.started.part();
        let is_draining = database.as_ref().is_err_and(|error| error.code() == Code::Draining);
        let status = |is_well: bool| if is_well { "ok" } else { "unavailable" };
        let (installed, quarantined) = plugins.as_ref().copied().unwrap_or_default();
        let parts = json!({
            "database": { "status": status(database.is_ok() || is_draining) },
            "engine": engine,
            "plugins": {
                "status": status(plugins.is_ok()),
                "installed": installed,
                "quarantined": quarantined,
            },
            "settings": self.reloads.outcomes(),
            "draining": { "status": if is_draining { "draining" } else { "ok" } },
        });
        let problem = match database.and(plugins) {
            Err(error) => Problem::quietly(&error),
            Ok(_) if !is_started => Problem::new(Code::NotReady, "the host is starting"),
            Ok(_) => return Json(json!({ "status": "ready", "parts": parts })).into_response(),
        };
        problem.with_parts(parts).in_request(request).into_response()
    }
}

/// Whether the host is up at all.
pub(super) async fn health() -> Response {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })).into_response()
}
