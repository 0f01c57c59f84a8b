//! Runs a filter from its source to its target.

use std::path::Path;

use jaq_json::Val;
use jaq_std::input::RcIter;
use serde_json::Value;

use crate::filter::{Filter, FilterError, Flow};
use crate::request::{Input, OnError, RequestError};
use crate::source::{Feed, SourceError, Tally};
use crate::target::{Taker, TargetError};

/// There is no output.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The input contradicts itself.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The filter is none, or failed.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The filter failed for one of many lines.
    #[error("line {line}: {error}")]
    Line {
        /// The line.
        line: u64,
        /// What the filter said of it.
        error: FilterError,
    },
    /// The values cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What the filter yields cannot be taken.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// The folders of a task.
pub struct Folders<'a> {
    /// What there is to read.
    pub input: &'a Path,
    /// What is left for others.
    pub output: &'a Path,
}

/// Runs the filter of `input`, and gives the output of the task. `log` gets what `debug` writes.
///
/// # Errors
///
/// A [`RunError`].
pub fn run(
    mut input: Input,
    folders: &Folders<'_>,
    log: &dyn Fn(&str),
) -> Result<(Value, Tally), RunError> {
    let (source, target) = (input.source()?, input.target()?);
    let variables = std::mem::take(&mut input.variables);
    let filter = Filter::compile(&input.filter, variables, &input.args)?;
    let tally = Tally::default();
    let feed = Feed::open(source, folders.input, input.slurp, input.on_error, &tally)?;
    let mut taker = Taker::open(target, folders.output)?;
    feed_all(&filter, feed, &mut taker, &input, log, &tally)?;
    let output = taker.finish(&tally)?;
    Ok((output, tally))
}

/// Runs the filter for each value, or once for all.
fn feed_all(
    filter: &Filter,
    feed: Feed<'_>,
    taker: &mut Taker,
    input: &Input,
    log: &dyn Fn(&str),
    tally: &Tally,
) -> Result<(), RunError> {
    let inputs = RcIter::new(feed);
    let mut run =
        |value| filter.run(value, &inputs, log, |value| taker.take(&value).map_err(RunError::from));
    if input.null_input {
        let ran = run(Val::Null);
        return tally.take_broken().map_or(ran.map(|_| ()), |broken| Err(broken.into()));
    }
    while let Some(Ok(value)) = (&inputs).next() {
        match run(value) {
            Ok(Flow::GoOn) => {}
            Ok(Flow::Halt) => break,
            Err(error) => judge(error, input.on_error, tally)?,
        }
    }
    tally.take_broken().map_or(Ok(()), |broken| Err(broken.into()))
}

/// What becomes of a value that the filter fails for.
fn judge(error: RunError, on_error: OnError, tally: &Tally) -> Result<(), RunError> {
    let is_of_value = matches!(
        error,
        RunError::Filter(FilterError::Failed(_)) | RunError::Target(TargetError::Value(_))
    );
    if is_of_value && on_error == OnError::Skip {
        tally.skip(error.to_string());
        return Ok(());
    }
    Err(match (error, tally.line()) {
        (RunError::Filter(error), Some(line)) => RunError::Line { line, error },
        (error, _) => error,
    })
}

#[cfg(test)]
mod tests;
