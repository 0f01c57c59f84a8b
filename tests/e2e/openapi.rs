//! The `OpenAPI` document, and a fuzzer and a validator that others wrote, which take it at its word.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::host::{TestHost, project, target_dir};
use crate::serving::Serving;

/// The versions that CI installs.
const PACKAGES: &str = "schemathesis==4.32.5 openapi-spec-validator==0.9.0";

#[test]
fn the_document_and_its_page_are_open_and_reach_nothing_else() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let ask = |path: &str| serving.ask(&format!("GET {path}"), None, b"").is(200);
    let document = ask("/api/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let routes = ask("/api/v1").json();
    let submit = json!({
        "name": "jobs.submit", "method": "POST", "path": "/api/v1/jobs",
        "permission": "jobs-submit",
    });
    assert!(routes["routes"].as_array().unwrap().contains(&submit));
    let page = ask("/api/docs");
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    let text = String::from_utf8_lossy(page.body());
    for file in text.split('"').filter(|text| text.starts_with("/api/docs/")) {
        let answer = ask(file);
        assert!(answer.body().len() > 100, "{file}");
    }
    assert_eq!(ask("/api/docs/swagger-ui.css").headers["content-encoding"], "gzip");
}

#[test]
fn a_path_with_another_method_says_which_it_has() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let answer = serving.ask("PUT /api/v1/jobs", Some(serving.token()), b"{}");
    let mut methods: Vec<&str> = answer.headers["allow"].split(',').collect();
    methods.sort_unstable();
    assert_eq!(methods, ["GET", "HEAD", "POST"]);
    answer.problem(405, "method-not-allowed");
}

#[test]
fn the_document_is_valid() {
    let Some(bin) = tools() else { return };
    let document = project().join("docs/openapi.json");
    run(Command::new(bin.join("openapi-spec-validator")).arg(document));
}

/// Whatever fits the document is answered as it says, and what does not fit is refused.
#[test]
fn every_route_keeps_its_word() {
    let Some(bin) = tools() else { return };
    // It shows wrong tokens as well, more than anybody would by mistake.
    let host = TestHost::new().with_settings("auth:\n  guesses_per_minute: 1000000\n");
    let serving = Serving::start(&host);
    let mut command = Command::new(bin.join("schemathesis"));
    command.current_dir(host.data());
    command.arg("--config-file").arg(project().join("tests/e2e/schemathesis.toml"));
    command.arg("run").arg(format!("{}/api/openapi.json", serving.url()));
    command.arg("--header").arg(format!("Authorization: Bearer {}", serving.token()));
    run(&mut command);
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Where the programs are, if they are installed. On a machine that checks changes, which sets `CI`,
/// it is a failure if not.
fn tools() -> Option<PathBuf> {
    let folder = target_dir().join("schemathesis");
    let bin = folder.join("bin");
    if Path::new(&bin).join("schemathesis").exists() {
        return Some(bin);
    }
    let missing = format!(
        "schemathesis is not installed (python3 -m venv {0} && {0}/bin/pip install {PACKAGES})",
        folder.display()
    );
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    // Past what the test runner captures.
    let said = writeln!(std::io::stderr(), "\nSKIPPED what needs schemathesis: {missing}\n");
    said.unwrap();
    None
}
