//! `breakers list`, `breakers reset`.

use apflow_api::{ListBreakers, Page, ResetBreaker, ResetBreakers};
use apflow_model::breaker::BreakerKey;

use super::error::CliError;
use super::exit::Exit;
use super::operator::invoke;
use super::output::{Output, columns, shorten};
use super::page::note_more;
use crate::config::Config;

/// How much of the words of a failure a list shows.
const FAULT_CHARACTERS_MAX: usize = 60;

pub(crate) async fn list(
    config: &Config,
    page: Page<String, 1_000>,
    output: &Output,
) -> Result<Exit, CliError> {
    let listed = invoke(config, ListBreakers { page }).await?;
    output.result(&listed, || {
        if listed.breakers.is_empty() {
            return "all breakers are closed".to_owned();
        }
        let rows = listed.breakers.iter().map(|breaker| {
            vec![
                breaker.key.to_string(),
                breaker.state.name().to_owned(),
                breaker.failures.to_string(),
                breaker.until.map_or_else(String::new, |until| until.to_string()),
                shorten(breaker.fault.as_deref().unwrap_or_default(), FAULT_CHARACTERS_MAX),
            ]
        });
        columns(&["BREAKER", "STATE", "FAILURES", "UNTIL", "LAST FAILURE"], rows.collect(), &[2])
    });
    note_more(listed.cursor.as_ref(), output);
    Ok(Exit::Ok)
}

/// Resets one breaker, or all of them.
pub(crate) async fn reset(
    config: &Config,
    key: Option<BreakerKey>,
    output: &Output,
) -> Result<Exit, CliError> {
    if let Some(key) = key {
        let reset = invoke(config, ResetBreaker { key }).await?;
        output.result(&reset, || format!("{} is reset", reset.key));
    } else {
        let reset = invoke(config, ResetBreakers).await?;
        output.result(&reset, || format!("{} reset", reset.reset));
    }
    Ok(Exit::Ok)
}
