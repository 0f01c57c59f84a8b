//! `tokens`: what opens the HTTP API.

use apflow_api::{CreateToken, ListTokens, Page, RevokeJwt, RevokeToken, ShowToken, ShownToken};
use apflow_model::clock::Timestamp;
use apflow_model::id::TokenId;
use apflow_model::token::{PrincipalName, Scopes, TokenDays, TokenSpec};
use clap::{Args, Subcommand};

use super::error::CliError;
use super::exit::Exit;
use super::json::word;
use super::operator::invoke;
use super::output::{Output, columns};
use super::page::note_more;
use crate::config::Config;

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
    note_more(page.cursor.as_ref(), output);
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
