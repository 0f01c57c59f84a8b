//! `man DIR`: a manual page for every verb.

use std::path::Path;

use clap::Command;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::help;
use super::output::Output;
use crate::config::open_folder;

/// Writes the pages into a folder, as `apflow-host-jobs-list.1` and so on.
pub(crate) fn run(folder: &Path, output: &Output) -> Result<Exit, CliError> {
    let unusable = |source| CliError::Io { what: folder.display().to_string(), source };
    let opened = open_folder(folder).map_err(unusable)?;
    let pages = pages(help::command().name("apflow-host"), "apflow-host");
    for (name, page) in &pages {
        opened.write(name, page).map_err(unusable)?;
    }
    let count = pages.len();
    output.result(&json!({ "folder": folder, "pages": count }), || {
        format!("wrote {count} pages to {}", folder.display())
    });
    Ok(Exit::Ok)
}

/// The pages of a verb and of those below it, with the names of their files.
fn pages(mut command: Command, name: &str) -> Vec<(String, Vec<u8>)> {
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone().name(name.to_owned()).bin_name(name.to_owned()));
    // A list of bytes takes whatever is written into it.
    drop(man.render(&mut page));
    let inner = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let inner = inner.filter(|verb| verb.get_name() != "help");
    let inner = inner.flat_map(|verb| pages(verb.clone(), &format!("{name}-{}", verb.get_name())));
    let own = (format!("{name}.1"), page);
    std::iter::once(own).chain(inner.collect::<Vec<_>>()).collect()
}
