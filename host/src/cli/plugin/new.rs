//! `plugin new`: a folder with a plugin that says hello.

use std::io::{self, Write};
use std::path::PathBuf;

use apflow_model::manifest;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use clap::Args;
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The name: lower case letters, digits, `_` and `-`. The folder gets the same name.
    pub(crate) name: String,
    /// Where apflow-sdk is, to depend on it by path instead of by its repository.
    #[arg(long, value_name = "PATH")]
    pub(crate) sdk: Option<PathBuf>,
}

/// The files of a new plugin. What stands in double braces is filled in.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../../templates/plugin/Cargo.toml.in")),
    ("plugin.yaml", include_str!("../../../templates/plugin/plugin.yaml.in")),
    ("src/lib.rs", include_str!("../../../templates/plugin/lib.rs.in")),
    ("examples.yaml", include_str!("../../../templates/plugin/examples.yaml.in")),
    (".gitignore", "/target\n"),
];

pub(super) fn run(new: &New, output: &Output) -> Result<Exit, CliError> {
    let name = manifest::check_name(&new.name).map_err(CliError::Usage)?;
    let sdk = match &new.sdk {
        None => format!("git = \"{}\"", env!("CARGO_PKG_REPOSITORY")),
        Some(path) => {
            let unusable = |source| CliError::Io { what: path.display().to_string(), source };
            let path = path.canonicalize().map_err(unusable)?.display().to_string();
            // A TOML string escapes the same characters as a JSON one.
            format!("path = {}", json!(path))
        }
    };
    let unusable = |source| CliError::Io { what: format!("the folder `{name}`"), source };
    let here = Dir::open_ambient_dir(".", ambient_authority()).map_err(unusable)?;
    // Refused when it is there: nobody's files are written over.
    here.create_dir(&name).map_err(unusable)?;
    if let Err(error) = fill(&here, &name, &sdk) {
        // A half folder would stand in the way of the next try.
        drop(here.remove_dir_all(&name));
        return Err(unusable(error));
    }
    output.result(&json!({ "folder": name }), || {
        format!(
            "made {name}/\n  apflow-host plugin test {name}\n  apflow-host plugin build {name} \
             --release\n  apflow-host load {name}"
        )
    });
    Ok(Exit::Ok)
}

/// Writes the files of a new plugin.
fn fill(here: &Dir, name: &str, sdk: &str) -> io::Result<()> {
    let folder = here.open_dir(name)?;
    folder.create_dir("src")?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Cargo writes `-` as `_` in the names of what it builds.
    let component = name.replace('-', "_");
    let filled = [("{{name}}", name), ("{{component}}", &component), ("{{sdk}}", sdk)];
    for (file, template) in FILES {
        let text = filled
            .iter()
            .fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value));
        folder.open_with(file, &options)?.write_all(text.as_bytes())?;
    }
    Ok(())
}
