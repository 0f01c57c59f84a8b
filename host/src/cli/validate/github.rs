//! Reports as annotations of a GitHub workflow.
//!
//! The form: <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>.

use apflow_model::reader::FileFault;
use apflow_model::validate::Report;

use super::finding::{Level, findings};

/// A workflow command for each finding.
pub(super) fn write(reports: &[Report], allow_more: bool) -> String {
    let mut text = String::new();
    for report in reports {
        for finding in findings(report, allow_more) {
            let command_name = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Note => "notice",
            };
            text.push_str(&command(command_name, &report.path, finding.at));
        }
    }
    text
}

fn command(severity: &str, file: &str, fault: &FileFault) -> String {
    let FileFault { line, column, code, fix, .. } = fault;
    let (file, title) = (property(file), property(code));
    let message = data(&format!("{}; {fix}", fault.sentence()));
    format!("::{severity} file={file},line={line},col={column},title={title}::{message}\n")
}

/// A text after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A text between the two `::`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use apflow_model::validate::{Source, check};

    use super::*;

    #[test]
    fn nothing_in_a_manifest_can_end_a_command() {
        let text = "name: \"a\\n::error::%\"\n".to_owned();
        let reports = check(&[Source::new("a,b:c/tool.yaml", text)]);
        let written = write(&reports, false);
        let first = written.lines().find(|line| line.contains("line=1,")).unwrap();
        assert!(first.starts_with("::error file=a%2Cb%3Ac/tool.yaml,line=1,"), "{first}");
        assert_eq!(written.lines().count(), reports[0].faults.len());
        assert!(written.contains("%0A::error::%25"), "{written}");
    }
}
