//! Many writes, one transaction.
//!
//! It answers nobody: the writer does, once this has returned.

use std::ops::Range;

use apflow_model::audit::Head;

use crate::chain;
use crate::connection::Connection;
use crate::dialect::{PROBE, Trouble};
use crate::error::StoreError;
use crate::link::Link;
use crate::standing::Standing;
use crate::write::{Queued, kind_of};

/// How often a transaction is tried again that another one was in the way of.
const CONFLICTS_MAX: u32 = 5;

/// How the groups of a commit are made.
#[derive(Clone, Copy)]
enum Way {
    /// An error of one fails all. Nothing is spent on what hardly ever happens.
    Together,
    /// Each under a savepoint, and halved until what fails is alone.
    Apart,
}

/// Makes the writes in the order of their turns, and keeps the answer of each. The standing claim
/// comes last, when it is due or something was made ready. Says whether something was.
///
/// One that fails takes none of its neighbours along. `last` is the last line of the audit that is
/// known of.
///
/// # Errors
///
/// None of them counts then: [`StoreError::Unavailable`] when nothing can be written at present, and
/// else why the only one of them failed.
pub(crate) async fn commit(
    link: &mut Link,
    batch: &mut [Box<dyn Queued>],
    mut standing: Option<&mut Standing>,
    is_due: bool,
    last: &mut Option<Head>,
) -> Result<bool, StoreError> {
    batch.sort_by_key(|write| write.turn());
    let (mut way, mut conflicts) = (Way::Together, 0);
    loop {
        let claim = (standing.as_deref_mut(), is_due);
        let known = last.take();
        let error = match try_to_commit(link, batch, claim, way, known).await {
            Ok((has_news, end)) => {
                *last = end;
                return Ok(has_news);
            }
            Err(error) => error,
        };
        roll_back(link, &error).await;
        match error.trouble() {
            Some(Trouble::Conflict) if conflicts < CONFLICTS_MAX => conflicts += 1,
            Some(Trouble::Lost | Trouble::Unavailable) => return Err(error),
            // Another process may have added lines since: they are read now.
            _ if known.is_some() => {}
            Some(Trouble::Conflict | Trouble::Refused) | None => match way {
                Way::Together if batch.len() + usize::from(standing.is_some()) > 1 => {
                    way = Way::Apart;
                }
                Way::Together | Way::Apart => return Err(error),
            },
        }
        tracing::debug!(%error, writes = batch.len(), "a commit is tried again");
    }
}

/// Changes nothing, durably.
///
/// # Errors
///
/// As long as nothing can be written.
pub(crate) async fn probe(link: &mut Link) -> Result<(), StoreError> {
    let probed = try_to_probe(link).await;
    if let Err(error) = &probed {
        roll_back(link, error).await;
    }
    probed
}

async fn try_to_probe(link: &mut Link) -> Result<(), StoreError> {
    link.begin(true).await?.run(PROBE).await?;
    link.commit(false).await
}

async fn roll_back(link: &mut Link, error: &StoreError) {
    if error.trouble() == Some(Trouble::Lost) {
        return link.lose();
    }
    let Some(mut connection) = link.made() else { return };
    // Fails when the database has rolled back by itself, as it does when the disk is full.
    if let Err(error) = connection.run("ROLLBACK").await {
        tracing::debug!(%error, "there was nothing to roll back");
    }
}

async fn try_to_commit(
    link: &mut Link,
    batch: &mut [Box<dyn Queued>],
    (standing, is_due): (Option<&mut Standing>, bool),
    way: Way,
    last: Option<Head>,
) -> Result<(bool, Option<Head>), StoreError> {
    let hints = batch.iter().any(|write| write.turn().is_news());
    // A claim needs the disk no more than what it joins: lost with the power, it is made again.
    let is_synced = is_due || batch.iter().any(|write| write.is_synced());
    let mut connection = link.begin(is_synced).await?;
    if let Way::Apart = way {
        // What one of them left to be run would fail in another's turn.
        connection.hurry().await?;
    }
    let mut has_news = false;
    let mut rest = &mut *batch;
    while let Some(first) = rest.first() {
        let (max, kind) = (first.group_max().max(1), kind_of(first.as_ref()));
        let like = rest.iter().take(max).take_while(|write| kind_of(write.as_ref()) == kind);
        let (group, others) = rest.split_at_mut(like.count());
        make(group, &mut connection, way).await?;
        has_news |= group.iter().any(|write| write.made_work());
        rest = others;
    }
    let records: Vec<_> = batch.iter().flat_map(|write| write.records()).collect();
    let last = chain::append(&mut connection, &records, last).await?;
    if let Some(Standing { claim, places, .. }) = standing {
        claim.forget();
        if is_due || has_news && places.free() > 0 {
            make(std::slice::from_mut(claim), &mut connection, way).await?;
        }
    }
    link.commit(hints).await?;
    Ok((has_news, last))
}

async fn make(
    group: &mut [Box<dyn Queued>],
    connection: &mut Connection<'_>,
    way: Way,
) -> Result<(), StoreError> {
    match way {
        Way::Together => apply(group, connection).await,
        Way::Apart => apply_apart(group, connection).await,
    }
}

/// Applies like writes together.
async fn apply(
    group: &mut [Box<dyn Queued>],
    connection: &mut Connection<'_>,
) -> Result<(), StoreError> {
    let Some((first, others)) = group.split_first_mut() else { return Ok(()) };
    first.apply(others, connection).await
}

/// Applies like writes, and halves them as often as they fail: each that fails alone keeps its own
/// error, and the others count.
async fn apply_apart(
    group: &mut [Box<dyn Queued>],
    connection: &mut Connection<'_>,
) -> Result<(), StoreError> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    parts.push(0..group.len());
    while let Some(part) = parts.pop() {
        connection.run("SAVEPOINT part").await?;
        let applied = apply(&mut group[part.clone()], connection).await;
        if let Err(error) = applied {
            if error.trouble().is_some_and(|trouble| trouble != Trouble::Refused) {
                return Err(error);
            }
            connection.run("ROLLBACK TO SAVEPOINT part").await?;
            if part.len() > 1 {
                let middle = part.start + part.len() / 2;
                // The first half is taken next, so that the order stays.
                parts.extend([middle..part.end, part.start..middle]);
            }
        }
        connection.run("RELEASE SAVEPOINT part").await?;
    }
    Ok(())
}
