//! Help that teaches: an example under every verb.
//!
//! The examples are a table of their own, so that they are read and tested together: each is parsed
//! as if it were typed.

use clap::{Command, CommandFactory};

use super::arguments::Arguments;

/// An example of each verb, by its path.
const EXAMPLES: &[(&str, &str)] = &[
    ("load", "apflow-host load ./count_executor --grant http=https://api.example.com"),
    ("plugins list", "apflow-host plugins list --json"),
    ("plugins show", "apflow-host plugins show rest_executor"),
    ("plugins verify", "apflow-host plugins verify"),
    ("plugins remove", "apflow-host plugins remove count_executor"),
    ("plugins release", "apflow-host plugins release count_executor"),
    ("tools list", "apflow-host tools list"),
    ("tools show", "apflow-host tools show jq"),
    ("tools run", "apflow-host tools run jq -- .name '{\"name\": \"ada\"}'"),
    ("tools health", "apflow-host tools health jq"),
    ("tools cache list", "apflow-host tools cache list"),
    ("tools cache clear", "apflow-host tools cache clear jq"),
    ("validate", "apflow-host validate tools/*/tool.yaml --format github"),
    ("schema", "apflow-host schema plugin"),
    (
        "run",
        "apflow-host run rest_executor --input '{\"url\": \"https://example.com\"}' --grant http=https://example.com",
    ),
    ("run batch", "apflow-host run batch --tasks @report.json"),
    ("jobs list", "apflow-host jobs list --state failed --since 2026-01-31T00:00:00Z"),
    ("jobs show", "apflow-host jobs show j_01h2xcejqtf2n --json"),
    ("jobs watch", "apflow-host jobs watch j_01h2xcejqtf2n"),
    ("jobs files", "apflow-host jobs files j_01h2xcejqtf2n --save ./out"),
    ("jobs retry", "apflow-host jobs retry j_01h2xcejqtf2n fetch"),
    ("jobs cancel", "apflow-host jobs cancel j_01h2xcejqtf2n"),
    ("jobs purge", "apflow-host jobs purge --before 2026-01-31 --state completed"),
    ("schedules add", "apflow-host schedules add nightly --cron '0 3 * * *' --job @report.json"),
    ("schedules list", "apflow-host schedules list"),
    ("schedules show", "apflow-host schedules show nightly"),
    ("schedules remove", "apflow-host schedules remove nightly"),
    ("schedules pause", "apflow-host schedules pause nightly"),
    ("schedules resume", "apflow-host schedules resume nightly"),
    ("schedules trigger", "apflow-host schedules trigger nightly"),
    ("schedules next", "apflow-host schedules next '0 3 * * mon-fri' --zone Europe/Berlin"),
    ("tasks list", "apflow-host tasks list --state failed --executor rest_executor"),
    ("tasks show", "apflow-host tasks show t_01h2xcejqtf2n --json"),
    ("tasks watch", "apflow-host tasks watch t_01h2xcejqtf2n"),
    ("tasks checkpoints", "apflow-host tasks checkpoints t_01h2xcejqtf2n"),
    ("tasks cancel", "apflow-host tasks cancel t_01h2xcejqtf2n"),
    ("tasks retry", "apflow-host tasks retry t_01h2xcejqtf2n"),
    ("approvals list", "apflow-host approvals list"),
    ("approvals approve", "apflow-host approvals approve t_01h2xcejqtf2n --reason 'seen by Ada'"),
    ("approvals deny", "apflow-host approvals deny t_01h2xcejqtf2n --reason 'wrong address'"),
    ("tokens create", "apflow-host tokens create ci --role agent --expires-days 30"),
    ("tokens list", "apflow-host tokens list"),
    ("tokens show", "apflow-host tokens show k_01h2xcejqtf2n"),
    ("tokens revoke", "apflow-host tokens revoke k_01h2xcejqtf2n"),
    ("config list", "apflow-host config list"),
    ("config explain", "apflow-host config explain http.drain_seconds"),
    ("config get", "apflow-host config get attempts_max"),
    ("config set", "apflow-host config set http.drain_seconds 60"),
    ("config unset", "apflow-host config unset http.drain_seconds"),
    ("config reset", "apflow-host config reset http.drain_seconds"),
    ("config path", "apflow-host config path"),
    ("config validate", "apflow-host config validate"),
    ("config init-server", "apflow-host config init-server --url https://apflow.example.com"),
    ("config gen-token", "apflow-host config gen-token --role agent --expiry 30"),
    ("config verify-token", "apflow-host config verify-token < token.txt"),
    ("budgets list", "apflow-host budgets list"),
    ("budgets show", "apflow-host budgets show ada"),
    ("budgets set", "apflow-host budgets set ada --tokens 2000000 --per day"),
    ("budgets remove", "apflow-host budgets remove ada tokens day"),
    ("usage", "apflow-host usage --by model --since 2026-01-01"),
    ("breakers list", "apflow-host breakers list"),
    ("breakers reset", "apflow-host breakers reset destination:https://api.example.com:443"),
    ("audit list", "apflow-host audit list --decision refused"),
    ("audit verify", "apflow-host audit verify"),
    ("audit export", "apflow-host audit export > audit.jsonl"),
    ("secrets list", "apflow-host secrets list"),
    ("policies list", "apflow-host policies list"),
    ("policies put", "apflow-host policies put thrifty '[{\"at\": 0.9, \"action\": \"block\"}]'"),
    ("policies remove", "apflow-host policies remove thrifty"),
    ("policies show", "apflow-host policies show"),
    ("policies check", "apflow-host policies check"),
    ("serve", "apflow-host serve --port 8080"),
    ("mcp", "apflow-host mcp"),
    ("worker", "apflow-host worker"),
    ("daemon start", "apflow-host daemon start --port 8080"),
    ("daemon stop", "apflow-host daemon stop"),
    ("daemon status", "apflow-host daemon status"),
    ("daemon restart", "apflow-host daemon restart"),
    ("daemon logs", "apflow-host daemon logs --follow"),
    ("doctor", "apflow-host doctor --repair"),
    ("plugin new", "apflow-host plugin new count_executor"),
    ("plugin build", "apflow-host plugin build count_executor --release"),
    ("plugin test", "apflow-host plugin test count_executor"),
    ("bench budget", "apflow-host bench budget --rounds 3"),
    ("bench sandbox", "apflow-host bench sandbox --rounds 20"),
    ("bench load", "apflow-host bench load --rounds 20"),
    ("bench cancel", "apflow-host bench cancel --trials 1000"),
    ("bench neighbours", "apflow-host bench neighbours --rounds 20"),
    ("bench engine", "apflow-host bench engine --rounds 5"),
    ("bench rest", "apflow-host bench rest --rounds 20"),
    ("bench http", "apflow-host bench http --clients 512"),
    ("bench startup", "apflow-host bench startup --rounds 20"),
    ("selftest", "apflow-host selftest"),
    ("explain", "apflow-host explain capability-denied"),
    (
        "completions",
        "apflow-host completions bash > ~/.local/share/bash-completion/completions/apflow-host",
    ),
    ("man", "apflow-host man ~/.local/share/man/man1"),
];

/// What can be typed, with an example under every verb.
pub(crate) fn command() -> Command {
    with_examples(Arguments::command(), "")
}

fn with_examples(command: Command, path: &str) -> Command {
    let command = match EXAMPLES.iter().find(|(verb, _)| *verb == path) {
        Some((_, example)) => command.after_help(format!("Example:\n  {example}")),
        None => command,
    };
    command.mut_subcommands(|verb| {
        let path = format!("{path} {}", verb.get_name());
        with_examples(verb, path.trim_start())
    })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    /// The words of a line as a shell takes them: quotes, and nothing after `>` or `<`.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                '<' | '>' if !quoted => return words,
                _ => word.push(c),
            }
        }
        words.push(word);
        words
    }

    /// The paths of all verbs that do something.
    fn verbs(command: &Command, path: &str) -> Vec<String> {
        let mut all = Vec::new();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let path = format!("{path} {}", verb.get_name()).trim_start().to_owned();
            all.extend(verbs(verb, &path));
            if !verb.is_subcommand_required_set() {
                all.push(path);
            }
        }
        all
    }

    #[test]
    fn every_verb_has_an_example_that_can_be_typed() {
        let verbs = verbs(&Arguments::command(), "");
        for verb in &verbs {
            assert!(EXAMPLES.iter().any(|(path, _)| path == verb), "`{verb}` has no example");
        }
        for (verb, example) in EXAMPLES {
            assert!(verbs.iter().any(|path| path == verb), "there is no `{verb}`");
            let parsed = command().try_get_matches_from(words(example));
            let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
            parsed.unwrap_or_else(|error| panic!("{example}: {error}"));
            assert!(example.starts_with(&format!("apflow-host {verb}")), "{verb}: {example}");
        }
    }

    #[test]
    fn the_definition_of_what_can_be_typed_is_sound() {
        command().debug_assert();
    }
}
