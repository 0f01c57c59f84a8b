//! Which page of a list is asked for, and that there is another.

use std::fmt::Display;

use apflow_api::Page;
use clap::Args;

use super::output::Output;

/// Which page of a list that goes by names.
#[derive(Debug, Args)]
pub(crate) struct ByName {
    /// How many, from 1 to 1000.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The cursor that the page before ended with.
    #[arg(long)]
    cursor: Option<String>,
}

impl From<ByName> for Page<String, 1_000> {
    fn from(ByName { limit, cursor }: ByName) -> Self {
        Self { limit: Some(limit), cursor }
    }
}

/// Says how the next page is had, if there is one.
pub(crate) fn note_more(cursor: Option<&impl Display>, output: &Output) {
    if let Some(cursor) = cursor {
        // Some are names of principals, which may have spaces.
        output.note(&format!("there are more: --cursor '{cursor}'"));
    }
}
