//! `selftest`: runs every hostile guest on this machine, and says what held it.
//!
//! The guests come with the program, and run through the same engine and sandbox as any plugin, on
//! a data directory of their own that is removed afterwards. What must become of each stands in
//! `cases`; a guest that does not stand there does not compile.

mod case;
mod cases;
mod peer;
mod place;
mod report;
mod trial;
mod verdict;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use apflow_api::Api;
use tokio::task::JoinSet;

use super::arguments::Selftest;
use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use super::signals::Signals;
use super::temporary::Folder;
use crate::assemble::Host;
use crate::hostile::Guest;
use place::Place;
use report::Report;
use verdict::Verdict;

/// How many guests run at once. Most wait for a limit of time, or for the peer.
const AT_ONCE: usize = 4;

pub(crate) async fn run(selftest: Selftest, output: &Output) -> Result<Exit, CliError> {
    let guests = choose(selftest.only)?;
    let mut signals = Signals::listen()
        .map_err(|source| CliError::Io { what: "the process's signals".to_owned(), source })?;
    let folder = Folder::make("apflow-selftest")?;
    let place = Arc::new(Place::make(&folder).await?);
    let config = folder.config()?;
    let working = Host::with(&config, async |host| {
        host.start().await?;
        try_all(&host.api, guests, &place).await
    });
    let verdicts = tokio::select! {
        verdicts = working => verdicts?,
        () = signals.ended() => return Ok(Exit::Cancelled),
    };
    let report = Report::new(verdicts);
    output.result(&report, || report.text());
    Ok(if report.is_good() { Exit::Ok } else { Exit::Failed })
}

/// All guests, or the one that was asked for.
fn choose(only: Option<String>) -> Result<VecDeque<Guest>, CliError> {
    let Some(name) = only else {
        let mut guests: VecDeque<Guest> = Guest::ALL.into();
        // The one that does nothing wrong comes last: it shows that the others did no harm.
        guests.retain(|guest| *guest != Guest::Behaves);
        guests.push_back(Guest::Behaves);
        return Ok(guests);
    };
    let found: VecDeque<Guest> =
        Guest::ALL.into_iter().filter(|guest| guest.name() == name).collect();
    if found.is_empty() {
        let names: Vec<&str> = Guest::ALL.iter().map(|guest| guest.name()).collect();
        let names = names.join(", ");
        return Err(CliError::NotFound(format!(
            "there is no guest `{name}`: expected one of {names}"
        )));
    }
    Ok(found)
}

/// Tries some guests at once, and the others as these end.
async fn try_all(
    api: &Api,
    guests: VecDeque<Guest>,
    place: &Arc<Place>,
) -> Result<Vec<Verdict>, CliError> {
    let waiting = Arc::new(Mutex::new(guests));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (api, waiting, place) = (api.clone(), Arc::clone(&waiting), Arc::clone(place));
        workers.spawn(async move {
            let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let mut verdicts = Vec::new();
            while let Some(guest) = next() {
                verdicts.push(trial::run(&api, guest, &place).await);
            }
            verdicts
        });
    }
    let mut verdicts: Vec<Verdict> = workers.join_all().await.into_iter().flatten().collect();
    verdicts.sort_by_key(|verdict| verdict.name);
    Ok(verdicts)
}
