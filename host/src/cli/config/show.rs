//! `config list|explain|get|path|validate`.

use apflow_model::setting::{self, Setting};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, PermissionsExt};
use serde_json::{Value, json};

use super::layers::{Flag, Layers};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, columns, shorten};
use crate::config::{Config, ConfigError, Places, misnamed};

/// How much of a value is shown in a list, in characters.
const VALUE_CHARACTERS_MAX: usize = 40;

/// The setting of a path that was typed.
pub(super) fn find(key: &str) -> Result<Setting, CliError> {
    setting::find(key).map_err(CliError::NotFound)
}

pub(super) fn list(places: &Places, flags: &[Flag], output: &Output) -> Result<Exit, CliError> {
    let layers = Layers::read(places, flags)?;
    let all: Vec<_> = setting::all()
        .into_iter()
        .filter_map(|setting| {
            let first = layers.of(&setting, false).into_iter().next()?;
            Some((setting, first))
        })
        .collect();
    let shown: Vec<_> = all
        .iter()
        .map(|(setting, first)| {
            json!({ "key": setting.path(), "value": first.value, "from": first.from })
        })
        .collect();
    output.result(&json!({ "settings": shown, "file": places.config_file() }), || {
        let rows = all.iter().map(|(setting, first)| {
            let is_set = !first.value.is_null();
            let value = if is_set { plain(&first.value) } else { setting.otherwise() };
            vec![
                setting.path().to_owned(),
                shorten(&value, VALUE_CHARACTERS_MAX),
                first.from.clone(),
            ]
        });
        columns(&["SETTING", "VALUE", "FROM"], rows.collect(), &[])
    });
    for (name, meant) in misnamed(&places.environment) {
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        output.note(&format!("the variable `{name}` says nothing{meant}"));
    }
    Ok(Exit::Ok)
}

pub(super) fn explain(
    places: &Places,
    flags: &[Flag],
    key: &str,
    output: &Output,
) -> Result<Exit, CliError> {
    let setting = find(key)?;
    let inner = setting.keys();
    let layers = Layers::read(places, flags)?.of(&setting, false);
    let is_section = !inner.is_empty() && setting.default().is_none();
    let explained = json!({
        "key": setting.path(), "about": setting.about(), "accepts": setting.accepts(),
        "default": setting.default(), "otherwise": setting.otherwise(),
        "variable": setting.variable(), "is_secret": setting.is_secret(), "keys": inner,
        "layers": layers,
    });
    output.result(&explained, || {
        let mut rows = vec![("accepts", setting.accepts())];
        if !is_section {
            rows.push(("default", setting.otherwise()));
            rows.push(("variable", setting.variable()));
        }
        let layers = layers.iter().filter(|layer| !layer.value.is_null());
        let layers = layers.map(|layer| vec![layer.from.clone(), plain(&layer.value)]);
        let layers = columns(&["FROM", "VALUE"], layers.collect(), &[]);
        let rows = rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
        let inner = inner.iter().fold(String::new(), |text, key| format!("{text}\n  {key}"));
        let inner = if inner.is_empty() { inner } else { format!("\n\nits keys:{inner}") };
        format!(
            "{}\n  {}\n\n{}\n\n{layers}{inner}",
            setting.path(),
            setting.about(),
            columns(&[], rows, &[])
        )
    });
    Ok(Exit::Ok)
}

pub(super) fn get(
    places: &Places,
    flags: &[Flag],
    (key, shows_secret): (&str, bool),
    output: &Output,
) -> Result<Exit, CliError> {
    let setting = find(key)?;
    let layers = Layers::read(places, flags)?.of(&setting, shows_secret);
    let Some(first) = layers.into_iter().next() else { return Ok(Exit::Internal) };
    if first.value.is_null() && first.from == "default" {
        output.json_only(&json!({ "key": setting.path(), "value": null, "from": "default" }));
        output.note(&format!("`{}` is not set: {}", setting.path(), setting.otherwise()));
        return Ok(Exit::Ok);
    }
    let got = json!({ "key": setting.path(), "value": first.value, "from": first.from });
    output.result(&got, || plain(&first.value));
    Ok(Exit::Ok)
}

/// Where things are, and where verbs are done, as far as that is known.
pub(super) fn path(places: &Places, target: Option<(Value, String)>, output: &Output) {
    let settings = &places.settings_dir;
    let file = |name: &str| {
        let mode = Dir::open_ambient_dir(settings, ambient_authority())
            .and_then(|folder| folder.metadata(name));
        // What cannot be looked at is as good as not there.
        let mode = mode.ok().map(|metadata| metadata.permissions().mode() & 0o777);
        (settings.join(name), mode.map(|mode| format!("{mode:03o}")))
    };
    let files = ["config.yaml", "policies.yaml", "secrets.yaml"].map(|name| (name, file(name)));
    let database = if places.environment.get("DATABASE_URL").is_some_and(|url| !url.is_empty()) {
        "where DATABASE_URL says".to_owned()
    } else {
        places.data_dir.join("apflow.db").display().to_string()
    };
    let listed = files.iter().map(|(name, (path, mode))| {
        json!({ "name": name, "path": path, "exists": mode.is_some(), "mode": mode })
    });
    let (target, mode) = target.unzip();
    let mut shown = json!({
        "settings_dir": settings, "files": listed.collect::<Vec<_>>(),
        "data_dir": places.data_dir, "database": database,
    });
    for name in ["mode", "server", "reason"] {
        shown[name] = target.as_ref().map_or(Value::Null, |target| target[name].clone());
    }
    output.result(&shown, || {
        let mut rows: Vec<_> = files
            .iter()
            .map(|(name, (path, mode))| {
                let state = match mode {
                    Some(mode) => format!("mode {mode}"),
                    None => "not there".to_owned(),
                };
                vec![(*name).to_owned(), path.display().to_string(), state]
            })
            .collect();
        let data = places.data_dir.display().to_string();
        rows.push(vec!["data".to_owned(), data, String::new()]);
        rows.push(vec!["database".to_owned(), database.clone(), String::new()]);
        let table = columns(&[], rows, &[]);
        mode.map_or(table.clone(), |mode| format!("{mode}\n{table}"))
    });
}

pub(super) fn validate(
    places: &Places,
    config: impl FnOnce() -> Result<Config, ConfigError>,
    output: &Output,
) -> Result<Exit, CliError> {
    let config = config()?;
    let exports = config.exports(&config.file)?;
    crate::telemetry::check(&config.file.telemetry, &exports)
        .map_err(|refused| ConfigError::of_telemetry(places.config_file(), refused))?;
    output.result(&json!({ "valid": true, "file": places.config_file() }), || {
        format!("the settings are valid: {}", places.config_file().display())
    });
    Ok(Exit::Ok)
}

/// A value as it is read: a text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
