//! `tokens`: what opens the HTTP API. `config gen-token` and `config verify-token`: the same without
//! a database, by a secret.

use std::io::Read;

use apflow_api::{
    CreateToken, ListTokens, Page, RevokeJwt, RevokeToken, ShowToken, ShownToken, SystemClock,
};
use apflow_model::auth::JwtSecret;
use apflow_model::clock::{Clock, Timestamp};
use apflow_model::id::TokenId;
use apflow_model::token::{PrincipalName, Scopes, TokenDays, TokenSpec};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::json::word;
use super::operator::invoke;
use super::output::{Output, columns};
use super::target;
use crate::config::Config;
use crate::http::jwt::{self, Jwt};

/// Who issued the tokens that are made here, unless the settings say otherwise.
const ISSUER: &str = "apflow-host";
/// The most bytes of a token that are read.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

#[derive(Debug, Subcommand)]
pub(crate) enum TokensVerb {
    /// Make a token for the HTTP API. It is shown once.
    Create(NewToken),
    /// List the tokens, the newest first.
    List {
        /// How many, from 1 to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// The cursor that the page before ended with.
        #[arg(long)]
        cursor: Option<TokenId>,
    },
    /// Show one token, without its text.
    Show {
        /// Its id, for example `k_01h2xcejqtf2r`.
        id: TokenId,
    },
    /// Revoke one token: it opens nothing any more.
    Revoke {
        /// Its id.
        #[arg(required_unless_present = "jti", conflicts_with = "jti")]
        id: Option<TokenId>,
        /// Instead a JSON web token, by its claim `jti`.
        #[arg(long)]
        jti: Option<String>,
        /// When that ends by itself, in RFC 3339 [default: in ten years].
        #[arg(long, requires = "jti", value_parser = word::<Timestamp>)]
        expires_at: Option<Timestamp>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// What it is for.
    name: PrincipalName,
    /// The role of whoever shows it.
    #[arg(long)]
    role: String,
    /// Who shows it [default: the name].
    #[arg(long)]
    principal: Option<PrincipalName>,
    /// Only this of what the role may do, for example `jobs-read`. Can be repeated.
    #[arg(long = "scope", value_name = "PERMISSION")]
    scopes: Vec<String>,
    /// For how many days it is good, from 1 to 3650.
    #[arg(long, value_name = "DAYS", default_value_t)]
    expires_days: TokenDays,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say where verbs are done, on the data directory or by a server, and why.
    Path,
    /// Make a JSON web token for the HTTP API, signed by the secret of the settings.
    GenToken(GenToken),
    /// Say whether a JSON web token is signed by a secret of the settings, and what it claims.
    VerifyToken {
        /// The token, or - for standard input, where nobody else sees it.
        #[arg(default_value = "-")]
        token: String,
    },
}

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

pub(crate) async fn run(
    config: &Config,
    verb: TokensVerb,
    output: &Output,
) -> Result<Exit, CliError> {
    match verb {
        TokensVerb::Create(asked) => create(config, asked, output).await?,
        TokensVerb::List { limit, cursor } => list(config, limit, cursor, output).await?,
        TokensVerb::Show { id } => show(&invoke(config, ShowToken { id }).await?, output),
        TokensVerb::Revoke { id: Some(id), .. } => {
            show(&invoke(config, RevokeToken { id }).await?, output);
        }
        TokensVerb::Revoke { id: None, jti, expires_at } => {
            let jti = jti.unwrap_or_default();
            let revoked = invoke(config, RevokeJwt { jti, expires_at }).await?;
            output.result(&revoked, || format!("`{}` is revoked", revoked.jti));
        }
    }
    Ok(Exit::Ok)
}

async fn create(config: &Config, asked: NewToken, output: &Output) -> Result<(), CliError> {
    let NewToken { name, role, principal, scopes, expires_days } = asked;
    let scopes = Scopes::try_from(scopes).map_err(CliError::Usage)?;
    let spec = TokenSpec { name, principal, role, scopes, expires_days };
    let created = invoke(config, CreateToken { spec }).await?;
    output.result(&created, || created.text.clone());
    let token = &created.shown.token;
    output.note(&format!(
        "{} for `{}` as {}, until {}: keep it, it is not shown again",
        token.id, token.principal, token.role, token.expires_at
    ));
    Ok(())
}

async fn list(
    config: &Config,
    limit: u32,
    cursor: Option<TokenId>,
    output: &Output,
) -> Result<(), CliError> {
    let page = Page { limit: Some(limit), cursor };
    let page = invoke(config, ListTokens { page }).await?;
    output.result(&page, || {
        let rows = page.tokens.iter().map(|shown| {
            let token = &shown.token;
            vec![
                token.id.to_string(),
                format!("{}…", token.hint),
                token.name.clone(),
                token.principal.clone(),
                token.role.clone(),
                shown.state.name().to_owned(),
                token.expires_at.to_string(),
                token.last_used_at.map_or_else(|| "never".to_owned(), |used| used.to_string()),
            ]
        });
        let head = ["ID", "TOKEN", "NAME", "PRINCIPAL", "ROLE", "STATE", "EXPIRES", "LAST USED"];
        columns(&head, rows.collect(), &[])
    });
    if let Some(cursor) = page.cursor {
        output.note(&format!("there are more: --cursor {cursor}"));
    }
    Ok(())
}

fn show(shown: &ShownToken, output: &Output) {
    output.result(shown, || {
        let token = &shown.token;
        let scopes: Vec<_> = token.scopes.names().collect();
        let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        let rows = [
            ("id", Some(token.id.to_string())),
            ("token", Some(format!("{}…", token.hint))),
            ("name", Some(token.name.clone())),
            ("principal", Some(token.principal.clone())),
            ("role", Some(token.role.clone())),
            ("scopes", (!scopes.is_empty()).then(|| scopes.join(", "))),
            ("state", Some(shown.state.name().to_owned())),
            ("created", moment(Some(token.created_at))),
            ("expires", moment(Some(token.expires_at))),
            ("revoked", moment(token.revoked_at)),
            ("last used", moment(token.last_used_at)),
        ];
        let rows = rows.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?]));
        columns(&[], rows.collect(), &[])
    });
}

/// `config gen-token` and `config verify-token`. They need no database.
pub(crate) fn config(config: &Config, verb: ConfigVerb, output: &Output) -> Result<Exit, CliError> {
    match verb {
        ConfigVerb::Path => {
            let (shown, text) = target::explain(config);
            output.result(&shown, || text);
            Ok(Exit::Ok)
        }
        ConfigVerb::GenToken(asked) => generate(config, &asked, output),
        ConfigVerb::VerifyToken { token } => verify(config, &token, output),
    }
}

fn generate(config: &Config, asked: &GenToken, output: &Output) -> Result<Exit, CliError> {
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

fn verify(config: &Config, token: &str, output: &Output) -> Result<Exit, CliError> {
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
