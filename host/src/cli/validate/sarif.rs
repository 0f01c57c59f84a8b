//! Reports as SARIF 2.1.0, which code hosts show beside a change.
//!
//! The form: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::collections::BTreeSet;

use apflow_model::reader::FileFault;
use apflow_model::validate::Report;
use serde_json::{Value, json};

use super::finding::{Level, findings};

/// One run of one tool, with a result for each finding.
pub(super) fn write(reports: &[Report], allow_more: bool) -> Value {
    let mut codes = BTreeSet::new();
    let mut results = Vec::new();
    for report in reports {
        for finding in findings(report, allow_more) {
            let level = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Note => "note",
            };
            codes.insert(finding.at.code);
            results.push(result(level, &report.path, finding.at));
        }
    }
    let rules: Vec<_> = codes.into_iter().map(|code| json!({ "id": code })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "apflow-host validate",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(level: &str, file: &str, fault: &FileFault) -> Value {
    let FileFault { line, column, code, fix, .. } = fault;
    json!({
        "ruleId": code,
        "level": level,
        "message": { "text": format!("{}; {fix}", fault.sentence()) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": { "startLine": line, "startColumn": column },
        } }],
    })
}

/// A path as a relative reference: only what a path may hold stays as it is.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let shown = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    path.bytes().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use apflow_model::validate::{Source, check};

    use super::*;

    #[test]
    fn each_fault_is_a_result_with_its_place_and_rule() {
        let text = "name: a\n".to_owned();
        let reports = check(&[Source::new("my tools/a/tool.yaml", text)]);
        let written = write(&reports, false);
        let run = &written["runs"][0];
        assert_eq!(run["results"].as_array().unwrap().len(), reports[0].faults.len());
        assert_eq!(run["tool"]["driver"]["rules"], json!([{ "id": "missing-field" }]));
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "my%20tools/a/tool.yaml");
        assert_eq!(place["region"], json!({ "startLine": 1, "startColumn": 1 }));
    }
}
