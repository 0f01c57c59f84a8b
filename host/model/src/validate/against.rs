//! What a new version of a manifest asks for beside an old one: for those who review the change.

use serde::Serialize;

use super::place;
use super::source::{Parsed, Source};
use super::{Kind, Report};
use crate::capability::Capabilities;
use crate::limit::Limits;
use crate::manifest::limits::LIMITS;
use crate::reader::FileFault;
use crate::tool::{Argument, Flag, Tool};

/// One way in which a new version differs from an old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed, and where it stands in the new version.
    #[serde(flatten)]
    pub at: FileFault,
    /// Whether it asks for more: of the host, of whoever approves, or of those who call it.
    pub asks_more: bool,
}

/// Notes in the report of each new manifest how it differs from the old one of its kind and name.
///
/// One that is new altogether is compared with one that asks for nothing and has the usual limits.
/// What is no longer there asks for nothing and is left out, as are manifests with faults.
pub fn compare(old: &[Source], new: &[Source], reports: &mut [Report]) {
    let manifest = |source: &Source| {
        let is_manifest = !source.is_component();
        is_manifest.then(|| source.parse().ok()).flatten()
    };
    let old: Vec<_> = old.iter().filter_map(|source| Some((source, manifest(source)?))).collect();
    for (source, report) in new.iter().zip(reports) {
        let Some(parsed) = manifest(source) else { continue };
        let is_same = |(before, old): &&(&Source, Parsed)| {
            Kind::of(&before.path) == Kind::of(&source.path) && old.name() == parsed.name()
        };
        // Of several with this name, the one that stands in the same place.
        let before = old.iter().filter(is_same).max_by_key(|(before, _)| shared(before, source));
        report.changes = changes(source, before.map(|(_, before)| before), &parsed);
    }
}

/// How many names the paths of two files have in common, from their ends.
fn shared(old: &Source, new: &Source) -> usize {
    let names = old.path.rsplit('/').zip(new.path.rsplit('/'));
    names.take_while(|(old, new)| old == new).count()
}

/// Collects the changes of one manifest.
struct Changes {
    text: String,
    found: Vec<Change>,
}

impl Changes {
    fn more(&mut self, path: &str, code: &'static str, message: String) {
        let fix = "allow it with `--allow-more`, or take it back".to_owned();
        self.add(path, code, message, fix, true);
    }

    fn less(&mut self, path: &str, code: &'static str, message: String) {
        self.add(path, code, message, "nothing is to be done".to_owned(), false);
    }

    fn add(&mut self, path: &str, code: &'static str, message: String, fix: String, more: bool) {
        let (line, column) = place::find(&self.text, path);
        let at = FileFault { line, column, path: path.to_owned(), code, message, fix };
        self.found.push(Change { at, asks_more: more });
    }
}

fn changes(source: &Source, old: Option<&Parsed>, new: &Parsed) -> Vec<Change> {
    let mut changes = Changes { text: source.text().into_owned(), found: Vec::new() };
    let (asked_before, limits_before) =
        old.map_or_else(|| (Capabilities::default(), Limits::default()), Parsed::asks);
    let (asked, limits) = new.asks();
    compare_capabilities(&mut changes, &asked_before, &asked);
    compare_limits(&mut changes, &limits_before, &limits);
    if let (Some(Parsed::Tool(old)), Parsed::Tool(new)) = (old, new) {
        compare_tools(&mut changes, old, new);
    }
    changes.found.sort_by_key(|change| (change.at.line, change.at.column));
    changes.found
}

fn compare_capabilities(changes: &mut Changes, old: &Capabilities, new: &Capabilities) {
    let (old_each, new_each) = (old.each(), new.each());
    let said = |all: Vec<&Capabilities>| {
        let lines = all.into_iter().flat_map(Capabilities::lines);
        lines.map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ")
    };
    for one in new_each.iter().filter(|one| !old.covers(one)) {
        let narrower: Vec<_> = old_each.iter().filter(|before| one.covers(before)).collect();
        let (path, now) = (path_of(one), said(vec![one]));
        if narrower.is_empty() {
            changes.more(&path, "capability-added", format!("newly asks for {now}"));
        } else {
            let message = format!("asks for {now} instead of {}", said(narrower));
            changes.more(&path, "capability-widened", message);
        }
    }
    for before in old_each.iter().filter(|before| !new.covers(before)) {
        let (path, was) = (path_of(before), said(vec![before]));
        if new_each.iter().any(|one| one.covers(before)) {
            continue;
        }
        let kept: Vec<_> = new_each.iter().filter(|one| before.covers(one)).collect();
        if kept.is_empty() {
            changes.less(&path, "capability-dropped", format!("no longer asks for {was}"));
        } else {
            let message = format!("asks for {} instead of {was}", said(kept));
            changes.less(&path, "capability-narrowed", message);
        }
    }
}

/// The key below which a single thing is asked for.
fn path_of(one: &Capabilities) -> String {
    let Capabilities { http, tcp, sockets, fs, env, secrets, secret_values, clocks, .. } = one;
    let key = match () {
        () if !http.is_empty() => "http",
        () if !tcp.is_empty() => "tcp",
        () if !sockets.is_empty() => "sockets",
        () if fs.is_in_read => "fs.in",
        () if fs.is_out_written => "fs.out",
        () if fs.is_any() => "fs.scratch",
        () if !env.is_empty() => "env",
        () if !secrets.is_empty() => "secrets",
        () if !secret_values.is_empty() => "secret_values",
        () if *clocks => "clocks",
        () => "random",
    };
    format!("capabilities.{key}")
}

fn compare_limits(changes: &mut Changes, old: &Limits, new: &Limits) {
    for limit in &LIMITS {
        let ((before, was), (after, is)) = (limit.of(old), limit.of(new));
        let (path, message) =
            (format!("limits.{}", limit.name), format!("is {after}, was {before}"));
        if is > was {
            changes.more(&path, "limit-raised", message);
        } else if is < was {
            changes.less(&path, "limit-lowered", message);
        }
    }
}

fn compare_tools(changes: &mut Changes, old: &Tool, new: &Tool) {
    const ARGUMENTS: &str = "input_schema.arguments";
    const FLAGS: &str = "input_schema.flags";
    for (index, argument) in new.arguments.iter().enumerate() {
        let before = old.arguments.iter().find(|before| before.name == argument.name);
        compare_argument(changes, &format!("{ARGUMENTS}.{index}"), before, argument);
    }
    let kept = |before: &&Argument| new.arguments.iter().any(|one| one.name == before.name);
    for gone in old.arguments.iter().filter(|before| !kept(before)) {
        let message = format!("no longer have `{}`", gone.name);
        changes.more(ARGUMENTS, "argument-removed", message);
    }
    for (index, flag) in new.flags.iter().enumerate() {
        let (path, name) = (format!("{FLAGS}.{index}"), &flag.flag);
        match old.flags.iter().find(|before| before.flag == *name) {
            None => changes.less(&path, "flag-added", format!("is `{name}`, which is new")),
            Some(before) if before.has_argument != flag.has_argument => {
                let now =
                    if flag.has_argument { "now takes a value" } else { "takes no value now" };
                changes.more(&path, "flag-changed", format!("is `{name}`, which {now}"));
            }
            Some(_) => {}
        }
    }
    let kept = |before: &&Flag| new.flags.iter().any(|one| one.flag == before.flag);
    for gone in old.flags.iter().filter(|before| !kept(before)) {
        changes.more(FLAGS, "flag-removed", format!("no longer have `{}`", gone.flag));
    }
    if old.requires_approval && !new.requires_approval {
        let message = "is no longer asked for".to_owned();
        changes.more("requires_approval", "approval-dropped", message);
    } else if new.requires_approval && !old.requires_approval {
        changes.less("requires_approval", "approval-added", "is newly asked for".to_owned());
    }
}

fn compare_argument(changes: &mut Changes, path: &str, old: Option<&Argument>, new: &Argument) {
    let name = &new.name;
    if new.required && !old.is_some_and(|old| old.required) {
        let message = format!("is `{name}`, which is newly required");
        changes.more(path, "argument-required", message);
    } else if old.is_none() {
        changes.less(path, "argument-added", format!("is `{name}`, which is new"));
    }
    let Some(old) = old else { return };
    if old.value_type != new.value_type {
        let (was, is) = (old.value_type.name(), new.value_type.name());
        let message = format!("is `{name}`, which was of the type {was} and is {is}");
        changes.more(path, "argument-changed", message);
    }
    let is_refused = |value| !new.allowed.contains(value);
    let was_any = old.allowed.is_empty();
    if !new.allowed.is_empty() && (was_any || old.allowed.iter().any(is_refused)) {
        let message = format!("is `{name}`, which may no longer be all that it might");
        changes.more(path, "argument-changed", message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    fn compared(path: &str, old: &str, new: &str) -> Vec<(u64, bool, &'static str, String)> {
        let (old, new) = ([Source::new(path, old)], [Source::new(path, new)]);
        let mut reports = check(&new);
        assert!(reports[0].valid, "{:?}", reports[0].faults);
        compare(&old, &new, &mut reports);
        let said = |change: Change| {
            (change.at.line, change.asks_more, change.at.code, change.at.sentence())
        };
        reports.remove(0).changes.into_iter().map(said).collect()
    }

    fn plugin(rest: &str) -> String {
        format!("name: own\nversion: 1.0.0\ndescription: Own.\ncomponent: own.wasm\n{rest}")
    }

    fn tool(rest: &str) -> String {
        format!("name: own\nversion: 1.0.0\ndescription: Own.\ncategory: data\n{rest}")
    }

    fn codes(changes: &[(u64, bool, &'static str, String)]) -> Vec<(u64, bool, &'static str)> {
        changes.iter().map(|(line, more, code, _)| (*line, *more, *code)).collect()
    }

    #[test]
    fn what_is_asked_for_is_compared_by_what_it_covers() {
        let old = "capabilities:\n  http: [\"https://a.example\", \"http://*\"]\n  clocks: true\n  \
                   fs: { scratch: 2MiB }\n";
        let new = "capabilities:\n  http: [\"https://*.example\", \"http://b.example\"]\n  \
                   random: true\n  fs: { scratch: 1MiB }\n";
        let found = compared("own/plugin.yaml", &plugin(old), &plugin(new));
        let expected = [
            (5, false, "capability-dropped"),
            (6, true, "capability-widened"),
            (6, false, "capability-narrowed"),
            (7, true, "capability-added"),
            (8, false, "capability-narrowed"),
        ];
        assert_eq!(codes(&found), expected);
        let text = "`capabilities.http` asks for `http https://*.example` instead of `http https://a.example`";
        assert_eq!(found[1].3, text);
    }

    #[test]
    fn limits_are_compared_as_amounts_and_with_the_usual_ones() {
        let found = compared(
            "own/plugin.yaml",
            &plugin("limits: { timeout: 60s, fuel: 5, log: 2MiB }\n"),
            &plugin("limits: { timeout: 1m, memory: 65MiB }\n"),
        );
        let expected =
            [(5, true, "limit-raised"), (5, false, "limit-lowered"), (5, true, "limit-raised")];
        assert_eq!(codes(&found), expected);
        assert!(found.iter().any(|(.., text)| text == "`limits.memory` is 65MiB, was 64MiB"));
        assert!(found.iter().any(|(.., text)| text == "`limits.fuel` is none, was 5"));
    }

    #[test]
    fn what_callers_must_change_asks_for_more() {
        let old = "input_schema:\n  arguments: [{ name: a, type: string }, { name: b, type: string }]\n  \
                   flags: [{ flag: -v }, { flag: -q }]\nrequires_approval: true\n";
        let new = "input_schema:\n  arguments:\n    - { name: a, type: integer, required: true }\n    \
                   - { name: c, type: string }\n  flags: [{ flag: -v, has_argument: true }]\n";
        let found = compared("own/tool.yaml", &tool(old), &tool(new));
        let expected = [
            (1, true, "approval-dropped"),
            (6, true, "argument-removed"),
            (7, true, "argument-required"),
            (7, true, "argument-changed"),
            (8, false, "argument-added"),
            (9, true, "flag-removed"),
            (9, true, "flag-changed"),
        ];
        assert_eq!(codes(&found), expected);
    }

    #[test]
    fn a_new_manifest_asks_newly_for_all_that_it_asks_for() {
        let new = [Source::new("own/plugin.yaml", plugin("capabilities: { clocks: true }\n"))];
        let mut reports = check(&new);
        compare(&[], &new, &mut reports);
        assert_eq!(reports[0].changes[0].at.code, "capability-added");
        compare(&new, &new, &mut reports);
        assert_eq!(reports[0].changes, []);
    }
}
