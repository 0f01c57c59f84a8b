//! Lines, fields, progress, and events of the `tracing` crate.

use apflow_sdk::log::{self, Level};
use apflow_sdk::testing::{Host, Line};
use apflow_sdk::{Fault, tracing};

#[test]
fn lines_keep_their_level_and_fields() {
    let host = Host::new();
    host.within(|| {
        log::write(Level::Warn, "slow", &[("ms", &1200), ("url", &"https://example.com")]);
        log::trace("1");
        log::debug("2");
        log::info("3");
        log::warn("4");
        log::error("5");
    });
    let lines = host.lines();
    let fields = [("ms", "1200"), ("url", "https://example.com")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(lines[0], Line { level: Level::Warn, message: "slow".to_owned(), fields });
    let levels: Vec<Level> = lines[1..].iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error]);
}

#[test]
fn progress_stays_between_nothing_and_all() {
    let host = Host::new();
    host.within(|| {
        for fraction in [-1.0, 0.5, 7.0, f64::NAN, f64::INFINITY] {
            log::progress(fraction, "step");
        }
    });
    let fractions: Vec<f64> = host.progress().into_iter().map(|(fraction, _)| fraction).collect();
    assert_eq!(format!("{fractions:?}"), "[0.0, 0.5, 1.0, 0.0, 1.0]");
}

#[test]
fn events_of_tracing_become_lines() {
    fn work(url: String) -> Result<(), Fault> {
        let _span = tracing::info_span!("span").entered();
        tracing::warn!(status = 503, %url, kind = "slow", "answer {}", "late");
        Ok(())
    }
    let host = Host::new();
    host.run(work, r#""/a""#).unwrap();
    let line = host.lines().remove(0);
    assert_eq!((line.level, line.message.as_str()), (Level::Warn, "answer late"));
    let field =
        |name: &str| line.fields.iter().find(|(known, _)| known == name).cloned().unwrap().1;
    assert_eq!(
        (field("status"), field("url"), field("kind")),
        ("503".to_owned(), "/a".to_owned(), "slow".to_owned())
    );
    assert!(field("target").contains("log"));
}

#[test]
fn a_line_without_a_host_is_dropped() {
    log::info("nobody listens");
    log::progress(0.5, "nobody looks");
}
