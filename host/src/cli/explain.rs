//! `explain [CODE]`: the page of an error code, or all codes.

use apflow_model::likeness::nearest;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, columns};

/// How like a code a mistyped one must be to be taken for it.
const LIKENESS_MIN: f64 = 0.8;

pub(crate) fn run(code: Option<&str>, output: &Output) -> Result<Exit, CliError> {
    let Some(code) = code else {
        let codes: Vec<_> = apflow_api::pages().collect();
        let named = codes.iter().map(|(name, page)| json!({ "code": name, "title": title(page) }));
        output.result(&json!({ "codes": named.collect::<Vec<_>>() }), || {
            let rows =
                codes.iter().map(|(name, page)| vec![(*name).to_owned(), title(page).to_owned()]);
            columns(&["CODE", "WHAT"], rows.collect(), &[])
        });
        return Ok(Exit::Ok);
    };
    let Some((name, page)) = apflow_api::pages().find(|(name, _)| *name == code) else {
        let names = apflow_api::pages().map(|(name, _)| name);
        let hint = match nearest(code, names, LIKENESS_MIN) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`apflow-host explain` lists them all".to_owned(),
        };
        return Err(CliError::NotFound(format!("there is no code `{code}`; {hint}")));
    };
    output.result(&json!({ "code": name, "page": page }), || page.to_owned());
    Ok(Exit::Ok)
}

/// The first line of what a page says happened.
fn title(page: &str) -> &str {
    let lines = page.lines().map(str::trim);
    let mut lines = lines.skip_while(|line| *line != "## What happened").skip(1);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}
