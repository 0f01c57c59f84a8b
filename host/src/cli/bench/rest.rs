//! `bench rest`: a durable task that calls an HTTP API, beside a bare client of the same server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use apflow_api::{Api, SubmitJob};
use apflow_model::hops::Hops;
use apflow_model::state::JobState;
use apflow_sandbox::BareClient;
use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::arguments::Bench;
use super::engine::{Place, started};
use super::report::Report;
use super::samples::Samples;
use super::store;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::operator::operator;
use crate::cli::output::Output;
use crate::config::Config;

/// How often each is measured in a round.
const PER_ROUND: u32 = 50;
/// The longest that one task may take.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// What the server answers.
const ANSWER: &str = r#"{"items":[1,2,3]}"#;

pub(crate) async fn rest(config: &Config, bench: Bench, output: &Output) -> Result<Exit, CliError> {
    let place = Place::make(config)?;
    let measured = measure(&place.config, bench.rounds).await;
    place.remove();
    let report =
        Report::new("rest", measured?.rows()).ratio("task / client", "rest_task", "bare_client");
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

async fn measure(config: &Config, rounds: u32) -> Result<Samples, CliError> {
    store::check_is_empty(config).await?;
    let server = Server::start().await.map_err(failed)?;
    let mut samples = Samples::default();
    started(config, async |api| {
        let mut client = BareClient::connect(server.address).await.map_err(failed)?;
        for round in 0..=rounds {
            for _ in 0..PER_ROUND {
                let (task, bare) = (task(api, &server).await?, call(&mut client).await?);
                // The first round warms the pools and the caches.
                if round > 0 {
                    samples.add("rest_task", task);
                    samples.add("bare_client", bare);
                }
            }
        }
        Ok(())
    })
    .await?;
    // One for the client, and one for the tasks unless the machine stood still for long.
    let connections = server.connections.load(Ordering::Relaxed);
    if connections > 2 + rounds {
        let message = format!("connections were not kept: there were {connections}");
        return Err(CliError::Bench(message));
    }
    Ok(samples)
}

/// A server of this process.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU32>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let connections = Arc::<AtomicU32>::default();
        let counter = Arc::clone(&connections);
        let listener = listener.tap_io(move |stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            // What is answered is written whole: waiting for more would only delay it.
            stream.set_nodelay(true).ok();
        });
        let answer = || async { ([("content-type", "application/json")], ANSWER) };
        let router = Router::new().route("/items", get(answer));
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { address, connections, serving })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// How long a task takes from its submission until its end is told.
async fn task(api: &Api, server: &Server) -> Result<Duration, CliError> {
    let url = format!("http://{}/items", server.address);
    let grant = format!("http=http://{}", server.address).parse().map_err(failed)?;
    let submit = SubmitJob {
        job: json!({ "executor": "rest_executor", "inputs": { "url": url } }),
        grants: vec![grant],
        wait: Some(WAIT_MAX),
        idempotency_key: None,
        hops: Hops::default(),
    };
    let started = Instant::now();
    let job = api.invoke(submit, &operator()).await?.job;
    let took = started.elapsed();
    if job.state != JobState::Completed {
        return Err(CliError::Bench(format!("the job {} is {}", job.id, job.state.name())));
    }
    Ok(took)
}

/// How long a bare client takes for the same.
async fn call(client: &mut BareClient) -> Result<Duration, CliError> {
    let started = Instant::now();
    let body = client.get("/items").await.map_err(failed)?;
    let took = started.elapsed();
    if body != ANSWER {
        return Err(CliError::Bench("the server answered otherwise".to_owned()));
    }
    Ok(took)
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it so")]
fn failed(error: impl ToString) -> CliError {
    CliError::Bench(error.to_string())
}
