//! `explain CODE`: the page of an error code.

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;

pub(crate) fn run(code: &str, output: &Output) -> Result<Exit, CliError> {
    let Some((name, page)) = apflow_api::pages().find(|(name, _)| *name == code) else {
        let names: Vec<&str> = apflow_api::pages().map(|(name, _)| name).collect();
        let message = format!("there is no code `{code}`; there are {}", names.join(", "));
        return Err(CliError::NotFound(message));
    };
    output.result(&json!({ "code": name, "page": page }), || page.to_owned());
    Ok(Exit::Ok)
}
