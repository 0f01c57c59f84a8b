//! `config gen-token` and `config verify-token`: JSON web tokens, by the secret of the settings and
//! without a database.

use std::io::Read;

use apflow_api::SystemClock;
use apflow_model::auth::JwtSecret;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::token::{PrincipalName, TokenDays};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, columns};
use crate::config::Config;
use crate::http::jwt::{self, Jwt};

/// Who issued the tokens that are made here, unless the settings say otherwise.
const ISSUER: &str = "apflow-host";
/// The most bytes of a token that are read.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

#[derive(Debug, Args)]
pub(crate) struct GenToken {
    /// The role of whoever shows it.
    #[arg(long, short)]
    role: String,
    /// Who shows it.
    #[arg(long, short, default_value = "apflow-user")]
    subject: PrincipalName,
    /// For how many days it is good, from 1 to 3650.
    #[arg(long, short, value_name = "DAYS", default_value_t)]
    expiry: TokenDays,
    /// Keep it in config.yaml for the command line to show to a server. Make a secret when there is
    /// none.
    #[arg(long)]
    save: bool,
}

pub(super) fn generate(
    config: &Config,
    asked: &GenToken,
    output: &Output,
) -> Result<Exit, CliError> {
    let secret = config.jwt_secret(asked.save)?.ok_or_else(|| {
        let file = config.config_file();
        CliError::NotFound(format!(
            "there is no secret to sign with: `--save` makes one in `{}`",
            file.display()
        ))
    })?;
    let now = SystemClock.now();
    let (text, claims) = signed(config, asked, &secret, now)?;
    if asked.save {
        config.save_api_token(&text)?;
    }
    output.result(&json!({ "token": text, "claims": claims }), || text.clone());
    Ok(Exit::Ok)
}

fn signed(
    config: &Config,
    asked: &GenToken,
    secret: &JwtSecret,
    now: Timestamp,
) -> Result<(String, Map<String, Value>), CliError> {
    let seconds = |moment: Timestamp| moment.unix_ms().div_euclid(1_000);
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| CliError::Io {
        what: "the system's random numbers".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    let jti = random.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let issuer = config.auth.jwt_issuer.as_deref().unwrap_or(ISSUER);
    let claims = [
        ("sub", Some(json!(asked.subject.as_str()))),
        ("role", Some(json!(asked.role))),
        ("iss", Some(json!(issuer))),
        ("aud", config.auth.jwt_audience.as_ref().map(|audience| json!(audience))),
        ("iat", Some(json!(seconds(now)))),
        ("exp", Some(json!(seconds(now.after(asked.expiry.span()))))),
        ("jti", Some(json!(jti))),
    ];
    let claims = claims.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let claims = claims.collect();
    Ok((jwt::sign(&claims, secret), claims))
}

pub(super) fn verify(config: &Config, token: &str, output: &Output) -> Result<Exit, CliError> {
    let text = if token == "-" { read_stdin()? } else { token.to_owned() };
    let settings = &config.auth;
    let faults = |text: &str| -> Result<Map<String, Value>, String> {
        let jwt = Jwt::read(text)?;
        if !jwt.is_signed_by(&settings.jwt_secrets) {
            return Err("its signature is not by a secret of the host".to_owned());
        }
        let wrong = |fault: apflow_model::claims::ClaimFault| fault.to_string();
        jwt.claims.check(&settings.expected(), SystemClock.now()).map_err(wrong)?;
        jwt.claims.subject().map_err(wrong)?;
        Ok(jwt.claims.all().clone())
    };
    match faults(text.trim()) {
        Ok(claims) => {
            output.result(&json!({ "valid": true, "claims": claims }), || {
                let rows = claims.iter().map(|(name, value)| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    vec![name.clone(), text]
                });
                columns(&[], rows.collect(), &[])
            });
            Ok(Exit::Ok)
        }
        Err(reason) => {
            output.result(&json!({ "valid": false, "reason": reason }), || {
                format!("not valid: {reason}")
            });
            Ok(Exit::Failed)
        }
    }
}

fn read_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|source| CliError::Io { what: "standard input".to_owned(), source })?;
    Ok(text)
}
