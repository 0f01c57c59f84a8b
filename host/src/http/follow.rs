//! What one watcher of a job is handed, and when that ends, however it is sent.
//!
//! A watcher that is slow or gone costs the job nothing: each has a task of its own, which reads no
//! further than its client takes.

use std::time::Duration;

use apflow_api::{Events, Watch, chain};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long nothing is said at most, so that nobody in between takes the connection for dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a client may take nothing before it is shed.
pub(super) const STALL_MAX: Duration = Duration::from_secs(20);
/// How long a stream goes on when the host ends: longer than what is stored takes to be seen.
const LAST_LOOK: Duration = Duration::from_millis(200);
/// How many pieces wait for their client: one of events, and the last word.
const PIECES_WAITING_MAX: usize = 2;

/// What a watcher is handed next.
#[derive(Debug)]
pub(super) enum Piece {
    /// What happened.
    Events(Events),
    /// Nothing happened for a while.
    Silence,
    /// There will be no more.
    Last(Last),
}

/// The last word to a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    /// Why it ends.
    pub(super) why: Why,
    /// The number of the last event that was handed on, to go on after.
    pub(super) after: u64,
}

/// Why a watch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The job has ended.
    End,
    /// The host ends, or cannot read its database.
    Closing,
    /// The client took nothing for [`STALL_MAX`].
    Shed,
}

impl Why {
    /// The word on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Closing => "closing",
            Self::Shed => "shed",
        }
    }
}

/// Hands a job's events on as fast as they are taken, until the job or the host ends.
pub(super) fn follow(watch: Watch, ending: watch::Receiver<()>) -> Receiver<Piece> {
    let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    tokio::spawn(pass_on(watch, sender, ending));
    pieces
}

async fn pass_on(mut watch: Watch, pieces: Sender<Piece>, mut ending: watch::Receiver<()>) {
    // A place is kept for the last word: it must not wait for a client that takes nothing.
    let Ok(last_word) = pieces.clone().reserve_owned().await else { return };
    let mut after = watch.after();
    let why = tokio::select! {
        why = pass_on_events(&mut watch, &pieces, &mut after) => why,
        () = ended(&mut ending) => Some(Why::Closing),
        () = pieces.closed() => None,
    };
    if let Some(why) = why {
        last_word.send(Piece::Last(Last { why, after }));
    }
}

/// Waits until the host ends, and a little longer: what happened last is told before.
async fn ended(ending: &mut watch::Receiver<()>) {
    // The sender may be gone, which is an end as well.
    drop(ending.changed().await);
    tokio::time::sleep(LAST_LOOK).await;
}

/// Hands events on until there are no more, or nobody takes them. Returns why, for who still
/// listens. `after` is the number of the last one that was handed on.
async fn pass_on_events(watch: &mut Watch, pieces: &Sender<Piece>, after: &mut u64) -> Option<Why> {
    loop {
        let piece = match timeout(SILENCE_MAX, watch.next()).await {
            Ok(Ok(Some(events))) => Piece::Events(events),
            Ok(Ok(None)) => return Some(Why::End),
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "a job could not be watched any longer");
                return Some(Why::Closing);
            }
            Err(_) => Piece::Silence,
        };
        match timeout(STALL_MAX, pieces.send(piece)).await {
            Ok(Ok(())) => *after = watch.after(),
            Ok(Err(_)) => return None,
            Err(_) => return Some(Why::Shed),
        }
    }
}
