//! `explain CODE`: the page of an error code.

use apflow_api::Code;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;

pub(crate) fn run(code: &str, output: &Output) -> Result<Exit, CliError> {
    let Some(found) = Code::find(code) else {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        let message = format!("there is no code `{code}`; there are {}", names.join(", "));
        return Err(CliError::NotFound(message));
    };
    output
        .result(&json!({ "code": found.name(), "page": found.page() }), || found.page().to_owned());
    Ok(Exit::Ok)
}
