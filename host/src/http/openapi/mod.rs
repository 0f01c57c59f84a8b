//! The `OpenAPI` document (3.1): every route, made from the table of verbs.
//!
//! What a verb takes and answers is derived from its types. Only the few routes that are no verbs of
//! the table, or carry bytes, are described by hand.

mod docs;
mod operation;
mod plain;

use apflow_api::{Entry, ListEvents, Operation, TABLE, answers};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use operation::{Answers, Described};

/// Where the document is.
const PATH: &str = "/api/openapi.json";

/// Where the map of the routes is.
const MAP_PATH: &str = "/api/v1";

/// Where the schemas are that several places refer to, in the document.
const SCHEMAS: &str = "/components/schemas";

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The document, as JSON.
pub(crate) fn document() -> Value {
    let mut generator = answers(SCHEMAS);
    generator.subschema_for::<Problem>();
    let mut routes: Vec<Described> = TABLE.iter().map(described).collect();
    routes.extend(plain::routes());
    // All schemas first: examples are made of what they share.
    let answered: Vec<Value> = routes.iter().map(|route| route.schema(&mut generator)).collect();
    let schemas = generator.take_definitions(true);
    let mut paths = Map::new();
    for (route, schema) in routes.iter().zip(&answered) {
        // A field that takes the rest of a path has a star, which the format does not know.
        let path = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        path[route.method_name()] = route.describe(schema, &schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "tags": tags(&routes),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": operation::refusals(&routes),
            "headers": { "x-request-id": {
                "description": "The id of the request, under which the host's log has it.",
                "schema": { "type": "string", "examples": ["1f3a-2c"] },
            } },
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "A token of the host: `Authorization: Bearer TOKEN`.",
            } },
        },
    })
}

fn described(entry: &Entry) -> Described {
    let described = Described::from(entry);
    // The same path answers a stream of events to whoever accepts one.
    if entry.name == ListEvents::NAME {
        return Described { answers: Answers::JsonOrEvents(entry.shape.output), ..described };
    }
    described
}

fn info() -> Value {
    json!({
        "title": "apflow-host",
        "summary": "Runs untrusted executors safely, as WASI components.",
        "description": format!(
            "Errors are `application/problem+json` (RFC 9457); their `code` is stable, and \
             {REPOSITORY}/tree/main/docs/errors has a page for each."
        ),
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        "contact": { "url": REPOSITORY },
    })
}

fn tags(routes: &[Described]) -> Value {
    let mut tags: Vec<&str> = Vec::new();
    for route in routes {
        if !tags.contains(&route.tag()) {
            tags.push(route.tag());
        }
    }
    tags.into_iter().map(|tag| json!({ "name": tag })).collect()
}

/// The document, the page that shows it, and the map of the routes: open to everybody.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    docs::router().route(PATH, get(answer)).route(MAP_PATH, get(map))
}

/// Answers the document.
async fn answer() -> impl IntoResponse {
    Json(document())
}

/// Answers which routes there are, and what each needs.
async fn map() -> impl IntoResponse {
    let route = |entry: &Entry| {
        json!({
            "name": entry.name,
            "method": entry.method.name(),
            "path": entry.path,
            "permission": entry.permission.name(),
        })
    };
    let routes: Vec<Value> = TABLE.iter().map(route).collect();
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "openapi": PATH, "routes": routes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_document_is_that_of_this_version() {
        let published = include_str!("../../../../docs/openapi.json");
        let is_same = format!("{:#}\n", document()) == published;
        assert!(is_same, "write it: apflow-host schema openapi > docs/openapi.json");
    }

    #[test]
    fn the_guide_lists_every_route() {
        let guide = include_str!("../../../../docs/guide/http.md");
        for route in TABLE.iter().map(described).chain(plain::routes()) {
            let line = format!("| `{} {}", route.method.name(), route.path.replace("{*", "{"));
            assert!(guide.contains(&line), "docs/guide/http.md has no line `{line}`");
        }
    }

    #[test]
    fn the_guide_lists_every_code_with_its_status() {
        let guide = include_str!("../../../../docs/guide/http.md");
        let row = |status: u16, link: &str| {
            let rows = guide.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
            let mut rows = rows.filter(|(statuses, _)| statuses.contains(&status.to_string()));
            rows.any(|(_, codes)| codes.contains(link))
        };
        for (status, codes) in
            TABLE.iter().map(described).chain(plain::routes()).flat_map(|route| route.codes())
        {
            for code in codes {
                let link = format!("[{0}](../errors/{0}.md)", code.name());
                assert!(row(status, &link), "docs/guide/http.md has no {status} with {link}");
            }
        }
    }

    #[test]
    fn every_reference_finds_what_it_names() {
        let document = document();
        let text = document.to_string();
        for reference in
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next())
        {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
