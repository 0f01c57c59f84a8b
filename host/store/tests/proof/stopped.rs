//! A server that is stopped in the middle of its work loses nothing that it acknowledged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apflow_model::job::JobSpec;
use apflow_store::{NewJob, Store};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::oracle::Oracle;
use crate::place::Place;
use crate::server::{SERVER, run_in};
use crate::victim::now;

/// After how many acknowledged submits the server is stopped or loses its connections, each time.
const STOPS_AT: [usize; 4] = [20, 100, 200, 400];
/// Ends every connection but its own.
const DISCONNECT: &str = "\
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";
const SUBMITS: usize = 600;
const SUBMITTERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_server_that_is_stopped_at_once() {
    let place = Place::make();
    let store = Store::open(&place.url().parse().unwrap()).await.unwrap();
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    let (counted, mut count) = watch::channel(0_usize);
    let counted = Arc::new(counted);
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        submitters.spawn(submit(store.clone(), Arc::clone(&oracle), Arc::clone(&counted)));
    }
    for (turn, stop_at) in STOPS_AT.into_iter().enumerate() {
        count.wait_for(|count| *count >= stop_at).await.unwrap();
        let url = place.url();
        let stop = move || if turn % 2 == 0 { crash() } else { run_in(&url, &[DISCONNECT]) };
        tokio::task::spawn_blocking(stop).await.unwrap();
    }
    submitters.join_all().await;
    assert!(store.trouble().is_none(), "the store found its way back");
    let oracle = std::mem::take(&mut *oracle.lock().unwrap());
    let counts = oracle.judge(&store).await;
    assert!(counts.submits >= SUBMITS, "{counts:?}");
    store.close().await;
}

fn crash() {
    SERVER.get().unwrap().as_ref().unwrap().order("crash");
}

/// Submits until enough were acknowledged, whatever happens to the server.
async fn submit(store: Store, oracle: Arc<Mutex<Oracle>>, counted: Arc<watch::Sender<usize>>) {
    while *counted.borrow() < SUBMITS {
        let tasks = json!({"tasks": [{"id": "a", "executor": "x"}, {"id": "b", "executor": "x"}]});
        let spec = JobSpec::parse(tasks).unwrap();
        let new = NewJob { spec, principal: "ada".into(), grants: Vec::new() };
        match store.submit(new, now()).await {
            Ok(job) => {
                let line = format!("ack submitted {} 2 .", job.id);
                oracle.lock().unwrap().hear(&line);
                counted.send_modify(|count| *count += 1);
            }
            // While the server starts again, there is nothing to be done but to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
