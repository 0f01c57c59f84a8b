//! `config set`, `config unset` and `config reset`: settings in the text of `config.yaml`.

use std::io::Read;

use apflow_model::setting::Setting;
use apflow_model::yaml_edit::{self, EditError};
use serde_json::json;

use super::show::find;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::{ConfigError, Places};

/// The most bytes of a value that are read.
const VALUE_BYTES_MAX: u64 = 64 << 10;

pub(super) fn set(
    places: &Places,
    key: &str,
    typed: &str,
    output: &Output,
) -> Result<Exit, CliError> {
    let setting = find(key)?;
    let typed = if typed == "-" { read_stdin()? } else { typed.to_owned() };
    let wrong = |reason| CliError::Usage(format!("`{}` {reason}", setting.path()));
    let value = setting.read(typed.trim_end_matches('\n')).map_err(wrong)?;
    let text = places.text()?;
    let edited = yaml_edit::set(&text, &setting.segments(), &value);
    write(places, &text, edited)?;
    told(places, &setting, "set", output);
    Ok(Exit::Ok)
}

pub(super) fn unset(places: &Places, key: &str, output: &Output) -> Result<Exit, CliError> {
    let setting = find(key)?;
    let text = places.text()?;
    let edited = yaml_edit::unset(&text, &setting.segments());
    if edited.as_ref().is_ok_and(|edited| *edited == text) {
        let missing = format!("`{}` is not set in config.yaml", setting.path());
        return Err(CliError::NotFound(missing));
    }
    write(places, &text, edited)?;
    told(places, &setting, "unset", output);
    Ok(Exit::Ok)
}

/// Puts one setting back to what is usual, or all of them: then what stood in config.yaml is kept
/// beside it.
pub(super) fn reset(places: &Places, key: Option<&str>, output: &Output) -> Result<Exit, CliError> {
    let Some(key) = key else {
        let kept = places.set_aside()?;
        let file = places.config_file();
        output.result(&json!({ "file": file, "kept_as": kept }), || match &kept {
            Some(kept) => {
                format!("all settings are as usual: what there was is kept in {}", kept.display())
            }
            None => format!("all settings are as usual: there is no {}", file.display()),
        });
        if kept.is_some() {
            output.note(
                "tokens and secrets went with it: `apflow-host serve` makes new ones at its next \
                 start",
            );
        }
        return Ok(Exit::Ok);
    };
    let setting = find(key)?;
    let text = places.text()?;
    write(places, &text, yaml_edit::unset(&text, &setting.segments()))?;
    told(places, &setting, "reset", output);
    Ok(Exit::Ok)
}

fn write(
    places: &Places,
    before: &str,
    edited: Result<String, EditError>,
) -> Result<(), ConfigError> {
    let edited =
        edited.map_err(|source| ConfigError::Edit { path: places.config_file(), source })?;
    if edited == before { Ok(()) } else { places.write(&edited) }
}

fn told(places: &Places, setting: &Setting, done: &str, output: &Output) {
    let name = setting.variable();
    let is_hidden = places.environment.get(&name).is_some_and(|value| !value.is_empty());
    let file = places.config_file();
    let said = json!({ "key": setting.path(), "done": done, "file": file });
    output.result(&said, || format!("{done} `{}` in {}", setting.path(), file.display()));
    if is_hidden {
        output.note(&format!("the variable `{name}` counts more, as long as it is set"));
    }
}

fn read_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().take(VALUE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|source| CliError::Io { what: "standard input".to_owned(), source })?;
    Ok(text)
}
