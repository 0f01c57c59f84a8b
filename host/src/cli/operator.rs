//! The operator: whoever can open the data directory may do everything in it.
//!
//! Every verb is done through an [`Operator`], so none knows whether a server does it.

use std::io::{self, Write};

use apflow_api::{
    ApiError, LoadPlugin, LoadedPlugin, OpenFile, Operation, Remote, SubmitJob, SubmittedJob,
    Watch, WatchJob,
};
use apflow_model::access::{OPERATOR, Principal};
use apflow_model::capability::Grant;
use apflow_model::event::Event;
use apflow_model::id::JobId;

use super::error::CliError;
use super::target::Target;
use crate::assemble::Host;
use crate::config::{self, Config};
use crate::remote::{Client, EventStream, Form};

/// The caller of every verb that is done on the data directory.
pub(crate) fn operator() -> Principal {
    Principal::admin(OPERATOR)
}

/// Who does what the operator asks for.
pub(crate) enum Operator<'a> {
    /// This process, on the data directory.
    Here(&'a Host),
    /// A server.
    There(&'a Client, &'a Config),
}

/// What happens to a job.
pub(crate) enum Watched<'a> {
    /// As this process sees it.
    Here(Watch),
    /// As a server tells it.
    There(EventStream<'a>),
}

/// Does something where verbs are done.
pub(crate) async fn with<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Operator<'_>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let Target { client, reason } = Target::find(config).await?;
    let server = client.as_ref().map(|client| client.server().to_string());
    tracing::debug!(server, %reason, "where it is done");
    match client {
        Some(client) => work(&Operator::There(&client, config)).await,
        None => Host::with(config, async |host| work(&Operator::Here(host)).await).await,
    }
}

/// Does one verb.
pub(crate) async fn invoke<O: Remote>(
    config: &Config,
    operation: O,
) -> Result<O::Output, CliError> {
    with(config, async |operator| operator.invoke(operation).await).await
}

/// Does one verb on the data directory, whichever server is named or runs: it is about this machine.
pub(crate) async fn invoke_here<O: Operation>(
    config: &Config,
    operation: O,
) -> Result<O::Output, CliError> {
    Host::with(config, async |host| Ok(host.api.invoke(operation, &operator()).await?)).await
}

impl<'a> Operator<'a> {
    /// Does one verb.
    pub(crate) async fn invoke<O: Remote>(&self, operation: O) -> Result<O::Output, CliError> {
        match self {
            Self::Here(host) => Ok(host.api.invoke(operation, &operator()).await?),
            Self::There(client, _) => Ok(client.invoke(&operation).await?),
        }
    }

    /// Has jobs run: a server does already.
    pub(crate) async fn start(&self) -> Result<(), CliError> {
        match self {
            Self::Here(host) => Ok(host.start().await?),
            Self::There(..) => Ok(()),
        }
    }

    /// Has the attempts stopped that are still waited for: a server goes on by itself.
    pub(crate) fn hurry(&self) {
        match self {
            Self::Here(host) => host.hurry(),
            Self::There(..) => {}
        }
    }

    /// Takes a job in. What is sent to a server has a key, so that it can be sent again.
    pub(crate) async fn submit(&self, mut submit: SubmitJob) -> Result<SubmittedJob, CliError> {
        if matches!(self, Self::There(..)) && submit.idempotency_key.is_none() {
            submit.idempotency_key = config::random_text()?.parse().ok();
        }
        self.invoke(submit).await
    }

    /// Watches a job to its end, from the event after this number.
    pub(crate) async fn watch(&self, id: JobId, after: u64) -> Result<Watched<'a>, CliError> {
        Ok(match self {
            Self::Here(host) => {
                let watched = host.api.invoke(WatchJob { id, after }, &operator()).await?;
                Watched::Here(watched.events)
            }
            Self::There(client, _) => Watched::There(EventStream::new(client, id, after)),
        })
    }

    /// Writes the bytes of a file that a task left.
    pub(crate) async fn save(
        &self,
        open: OpenFile,
        into: &mut impl Write,
    ) -> Result<io::Result<()>, CliError> {
        match self {
            Self::Here(host) => {
                let mut opened = host.api.invoke(open, &operator()).await?;
                Ok(io::copy(&mut opened.bytes, into).map(drop))
            }
            Self::There(client, _) => Ok(client.save(&open, into).await?),
        }
    }

    /// Installs a plugin or a tool.
    pub(crate) async fn load(&self, load: LoadPlugin) -> Result<LoadedPlugin, CliError> {
        match self {
            Self::Here(host) => Ok(host.api.invoke(load, &operator()).await?),
            Self::There(client, config) => {
                // Whoever wrote it is told its faults by the name of its file, and at once.
                load.check_manifest()?;
                let form = form(&load, config::random_text()?);
                Ok(client.load(form, config.compile_timeout).await?)
            }
        }
    }
}

impl Watched<'_> {
    /// The next events. None when the job has ended, and no more will come.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Event>>, CliError> {
        match self {
            Self::Here(watch) => {
                let events = watch.next().await.map_err(ApiError::from)?;
                Ok(events.map(|events| events.to_vec()))
            }
            Self::There(stream) => Ok(stream.next().await?),
        }
    }
}

/// A plugin as the form that a server takes.
fn form(load: &LoadPlugin, boundary: String) -> Form {
    let mut form = Form::new(boundary);
    let consent = &load.consent;
    if !load.component.is_empty() {
        form.file("component", &load.component_file, &load.component);
    }
    if let Some(manifest) = &load.manifest {
        form.file(manifest.file(), &load.manifest_file, manifest.text().as_bytes());
    }
    match consent.grants.as_deref() {
        None => {}
        Some([]) => form.text("grant", "none"),
        Some(grants) => {
            grants.iter().map(Grant::to_string).for_each(|one| form.text("grant", &one));
        }
    }
    if consent.all {
        form.text("yes", "true");
    }
    if let Some(lock) = &consent.lock {
        form.file("lock", consent.lock_file.as_deref().unwrap_or("lock"), lock.as_bytes());
    }
    if let Some(typed) = &load.typed {
        form.text("typed", typed);
    }
    form
}
