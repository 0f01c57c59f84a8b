//! `man DIR`: a manual page for every verb.

use std::path::Path;

use clap::Command;
use clap_mangen::Man;
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
    let mut command = help::command();
    // From here on each verb knows its whole name.
    command.build();
    let pages = pages(&command);
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
fn pages(command: &Command) -> Vec<(String, Vec<u8>)> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    // A list of bytes takes whatever is written into it.
    drop(Man::new(command.clone()).render(&mut page));
    let shown = |verb: &&Command| !verb.is_hide_set() && verb.get_name() != "help";
    let inner = command.get_subcommands().filter(shown).flat_map(pages);
    std::iter::once((format!("{name}.1"), page)).chain(inner).collect()
}
