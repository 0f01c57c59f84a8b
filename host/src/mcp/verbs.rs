//! Where the verbs of this door are done: by this process, or by a server.

use std::sync::Arc;

use apflow_api::{Api, ApiError, Call, Caller, Entry, Input, Remote, Watch, WatchJob};
use apflow_model::event::Event;
use apflow_model::id::JobId;
use serde_json::{Map, Value};

use super::refused::Refused;
use crate::remote::{Client, EventStream};

/// Who does the verbs.
#[derive(Clone)]
pub(crate) enum Verbs {
    /// This process.
    Here(Api),
    /// A server, which knows who asks by the token of its client.
    There(Arc<Client>),
}

/// What happens to a job.
pub(super) enum Watched<'a> {
    Here(Watch),
    There(EventStream<'a>),
}

impl Verbs {
    /// Does a verb of the table.
    pub(super) async fn invoke<R: Remote>(
        &self,
        verb: R,
        caller: &Caller,
    ) -> Result<R::Output, Refused> {
        match self {
            Self::Here(api) => Ok(api.invoke(verb, caller).await?),
            Self::There(client) => Ok(client.invoke(&verb).await?),
        }
    }

    /// Does a verb of the table with these fields, and answers its JSON.
    pub(super) async fn ask(
        &self,
        entry: &Entry,
        fields: Map<String, Value>,
        caller: &Caller,
    ) -> Result<Value, Refused> {
        match self {
            Self::Here(api) => {
                let input = Input::of(entry.shape.body, fields);
                Ok((entry.invoke)(api.clone(), caller.clone(), input).await?.body)
            }
            Self::There(client) => {
                let call = Call::to(entry.method, entry.path, entry.shape.body, &fields)?;
                Ok(client.call(call).await?)
            }
        }
    }

    /// Watches a job from its first event on.
    pub(super) async fn watch(&self, id: JobId, caller: &Caller) -> Result<Watched<'_>, Refused> {
        match self {
            Self::Here(api) => {
                let watched = api.invoke(WatchJob { id, after: 0 }, caller).await?;
                Ok(Watched::Here(watched.events))
            }
            Self::There(client) => Ok(Watched::There(EventStream::new(client, id, 0))),
        }
    }

    /// Whether the role of a caller may not run this tool or executor. A server says so itself, once it
    /// is asked to.
    pub(super) fn blocks(&self, tool: &str, caller: &Caller) -> bool {
        match self {
            Self::Here(api) => api.roles().find(&caller.role).is_some_and(|role| role.blocks(tool)),
            Self::There(_) => false,
        }
    }
}

impl Watched<'_> {
    /// The next events. None when the job has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Event>>, Refused> {
        match self {
            Self::Here(watch) => {
                let events = watch.next().await.map_err(ApiError::from)?;
                Ok(events.map(|events| events.to_vec()))
            }
            Self::There(stream) => Ok(stream.next().await?),
        }
    }
}
