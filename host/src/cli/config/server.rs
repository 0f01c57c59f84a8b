//! `config init-server`: what a machine needs to use a server.

use apflow_model::setting;
use apflow_model::yaml_edit;
use clap::Args;
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::config::{ConfigError, Places, random_text, with_secret};

#[derive(Debug, Args)]
pub(crate) struct InitServer {
    /// Where the server is.
    #[arg(long, short, value_name = "URL", default_value = "http://localhost:8000")]
    url: String,
}

pub(super) fn init(places: &Places, asked: &InitServer, output: &Output) -> Result<Exit, CliError> {
    let entangled = |source| ConfigError::Edit { path: places.config_file(), source };
    let url = setting::find("api_server_url").map_err(CliError::NotFound)?;
    let url = url.read(&asked.url).map_err(CliError::Usage)?;
    let mut text = yaml_edit::set(&places.text()?, &["api_server_url"], &url).map_err(entangled)?;
    let is_new = places.read()?.auth.jwt_secrets.is_empty();
    if is_new {
        text = with_secret(&text, &random_text()?).map_err(entangled)?;
    }
    places.write(&text)?;
    let file = places.config_file();
    output.result(&json!({ "file": file, "api_server_url": url, "secret_is_new": is_new }), || {
        let secret = if is_new { "made a secret" } else { "kept the secret" };
        format!("wrote the address of the server and {secret} in {}", file.display())
    });
    output.note(
        "next: `apflow-host config gen-token --role admin --save` makes a token by the secret, which \
         the server must know as well: copy `auth.jwt_secrets` to its config.yaml",
    );
    Ok(Exit::Ok)
}
