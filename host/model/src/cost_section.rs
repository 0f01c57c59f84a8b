//! The section `cost_policies` of `policies.yaml`.
//!
//! What a policy means, `cost_policy` says; here it is read, with the place of every fault.

use serde_json::json;

use crate::cost_policy::{Action, CostPolicy, SHARE_MIN, Share, Threshold};
use crate::reader::{Reader, Section, word};
use crate::schema::{Key, Shape, words};
use crate::yaml::{Kind, Node, Place};

/// Where the section stands.
const PATH: &str = "cost_policies";

/// The keys of a policy.
pub(crate) static KEYS: [Key; 1] = [Key::new(
    "thresholds",
    Shape::Filled(&Shape::Section(&THRESHOLD)),
    "What happens at which share of a budget: 1 to 16, in any order. The highest that is reached \
     decides.",
)
.needed()
.like(|| json!([{ "at": 0.8, "action": "notify" }, { "at": 1, "action": "block" }]))];

/// The keys of a threshold.
static THRESHOLD: [Key; 4] = [
    Key::new(
        "at",
        Shape::Made(|| json!({ "type": "number", "minimum": SHARE_MIN, "maximum": 1 })),
        "The share of the budget that is gone: from a millionth to 1.",
    )
    .needed()
    .like(|| json!(0.8)),
    Key::new(
        "action",
        Shape::Word(|| words(&WORDS)),
        "What happens when it is reached: calls are blocked, go to the next model of `chain`, or go \
         on; `notify` tells it in the log and to `webhook`.",
    )
    .needed(),
    Key::new(
        "chain",
        Shape::Filled(&Shape::Text),
        "The models that `downgrade` goes along: 1 to 16, as `PROVIDER/MODEL`.",
    )
    .like(|| json!(["anthropic/claude-haiku-4-5", "ollama/llama3.2"])),
    Key::new(
        "webhook",
        Shape::Form("^https?://"),
        "Where `notify` is posted to, beside the log and the events of the job.",
    )
    .like(|| json!("https://example.com/budget")),
];

#[derive(Clone, Copy)]
enum Word {
    Block,
    Downgrade,
    Notify,
    Continue,
}

const WORDS: [(&str, Word); 4] = [
    ("block", Word::Block),
    ("downgrade", Word::Downgrade),
    ("notify", Word::Notify),
    ("continue", Word::Continue),
];

/// Reads the section: a policy a name.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> Vec<CostPolicy> {
    let named = reader.named(node, PATH);
    named
        .into_iter()
        .filter_map(|(name, place, node)| policy(reader, (name, place), node))
        .collect()
}

fn policy(reader: &mut Reader, (name, place): (&str, Place), node: &Node) -> Option<CostPolicy> {
    let path = format!("{PATH}.{name}");
    let section = reader.object(node, &path, &KEYS)?;
    let list = section.path("thresholds");
    let items = reader.list(&section, "thresholds");
    let read = |(index, item): (usize, &Node)| threshold(reader, item, &format!("{list}.{index}"));
    let thresholds: Vec<Threshold> = items.iter().enumerate().filter_map(read).collect();
    if thresholds.len() < items.len() {
        return None;
    }
    let policy = CostPolicy { name: name.to_owned(), thresholds };
    match policy.fault() {
        None => Some(policy),
        // One that is missing was told already.
        Some(("thresholds", _)) if section.get("thresholds").is_none() => None,
        Some((_, message)) => {
            let fix = "correct the policy; `docs/guide/cost.md` has examples";
            reader.fault(place, path, "invalid-value", message, fix);
            None
        }
    }
}

fn threshold(reader: &mut Reader, node: &Node, path: &str) -> Option<Threshold> {
    let section = reader.object(node, path, &THRESHOLD)?;
    let at = share(reader, &section);
    let action = action(reader, &section);
    Some(Threshold { at: at?, action: action? })
}

fn share(reader: &mut Reader, section: &Section<'_>) -> Option<Share> {
    let node = section.get("at")?;
    let number = if let Kind::Number(text) = node.kind() { text.parse::<f64>().ok() } else { None };
    let read = number.ok_or_else(|| "must be a number".to_owned()).and_then(Share::try_from);
    read.map_err(|message| reader.invalid(node, &section.path("at"), message)).ok()
}

fn action(reader: &mut Reader, section: &Section<'_>) -> Option<Action> {
    section.get("action")?;
    let word = reader.parsed(section, "action", |text| word(text, &WORDS))?;
    // The key that it takes beside its share.
    let own = match word {
        Word::Downgrade => "chain",
        Word::Notify => "webhook",
        Word::Block | Word::Continue => "",
    };
    for other in ["chain", "webhook"].into_iter().filter(|other| *other != own) {
        if let Some(node) = section.get(other) {
            let fix = "delete the line, or write another action";
            let message = "does not belong to this action";
            reader.fault(node.place(), section.path(other), "invalid-value", message, fix);
            return None;
        }
    }
    Some(match word {
        Word::Block => Action::Block,
        Word::Continue => Action::Continue,
        Word::Downgrade => {
            reader.required(section, "chain")?;
            let models = reader.texts(section, "chain").into_iter();
            Action::Downgrade { chain: models.map(|(_, model)| model.to_owned()).collect() }
        }
        Word::Notify => {
            let webhook = reader.parsed(section, "webhook", |text| Ok(text.to_owned()));
            Action::Notify { webhook }
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::policies::Policies;

    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written_by_api() {
        let text = "\
cost_policies:
  careful:
    thresholds:
      - { at: 0.8, action: notify, webhook: \"http://10.0.0.1:9000/budget\" }
      - { at: 0.9, action: downgrade, chain: [openai/gpt-5-mini, ollama/llama3.2] }
      - { at: 0.95, action: continue }
      - { at: 1, action: block }
";
        let read = Policies::parse(text).unwrap().cost_policies;
        let by_api = json!([{ "name": "careful", "thresholds": [
            { "at": 0.8, "action": "notify", "webhook": "http://10.0.0.1:9000/budget" },
            { "at": 0.9, "action": "downgrade",
              "chain": ["openai/gpt-5-mini", "ollama/llama3.2"] },
            { "at": 0.95, "action": "continue" },
            { "at": 1, "action": "block" },
        ]}]);
        assert_eq!(read, serde_json::from_value::<Vec<CostPolicy>>(by_api).unwrap());
    }

    #[test]
    fn every_fault_of_a_policy_is_told_with_its_place() {
        let text = "\
cost_policies:
  none: {}
  empty: { thresholds: [] }
  wrong:
    thresholds:
      - { at: 0, action: block }
      - { at: 1.5, action: explode }
      - { at: 0.5, action: block, chain: [a/b] }
      - { at: 0.5, action: downgrade }
      - { action: notify, webhok: \"http://x\" }
  twice:
    thresholds: [{ at: 1, action: downgrade, chain: [a/b, a/b] }]
  hook:
    thresholds: [{ at: 1, action: notify, webhook: \"ftp://x\" }]
";
        let faults = Policies::parse(text).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.line, &*fault.path)).collect();
        let expected = [
            (2, "cost_policies.none.thresholds"),
            (3, "cost_policies.empty"),
            (6, "cost_policies.wrong.thresholds.0.at"),
            (7, "cost_policies.wrong.thresholds.1.at"),
            (7, "cost_policies.wrong.thresholds.1.action"),
            (8, "cost_policies.wrong.thresholds.2.chain"),
            (9, "cost_policies.wrong.thresholds.3.chain"),
            (10, "cost_policies.wrong.thresholds.4.at"),
            (10, "cost_policies.wrong.thresholds.4.webhok"),
            (11, "cost_policies.twice"),
            (13, "cost_policies.hook"),
        ];
        assert_eq!(told, expected, "{faults:#?}");
    }
}
