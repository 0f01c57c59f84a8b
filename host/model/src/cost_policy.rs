//! Cost policies: what happens on the way to the cap of a budget.
//!
//! It guards no cap: a reservation does. A threshold looks at what is gone; what is merely set aside
//! may come back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use crate::money::{MicroUsd, TokenUse};

/// The most thresholds that a policy has.
pub const THRESHOLDS_MAX: usize = 16;

/// The most models that a chain has.
pub const CHAIN_MAX: usize = 16;

/// The longest name of a model, in bytes.
const MODEL_BYTES_MAX: usize = 256;

/// The longest address of a webhook, in bytes.
const WEBHOOK_BYTES_MAX: usize = 2_048;

/// The longest name of a policy, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The form of a name of a policy.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9._-]+$";

const PPM: u128 = 1_000_000;

/// The least share: a millionth.
pub const SHARE_MIN: f64 = 0.000_001;

/// A share of a cap: from [`SHARE_MIN`] to 1. Kept in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1_000_000);

    /// So many millionths. None unless there are 1 to 1,000,000.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm >= 1 && ppm <= 1_000_000 { Some(Self(ppm)) } else { None }
    }

    /// Millionths, from 1 to 1,000,000.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// The least use of `cap` that reaches it.
    pub fn of(self, cap: u64) -> u64 {
        let least = (u128::from(cap) * u128::from(self.0)).div_ceil(PPM);
        u64::try_from(least).unwrap_or(u64::MAX)
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        let fault = || format!("is {share}, but must be from {SHARE_MIN} to 1");
        if !(SHARE_MIN..=1.0).contains(&share) {
            return Err(fault());
        }
        // A text has no rounding errors of its own: `0.8` is 800,000 millionths.
        let digits = format!("{:.0}", share * 1e6);
        digits.parse().ok().and_then(Self::from_ppm).ok_or_else(fault)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.0) / 1e6
    }
}

/// In percent: `80 %`.
impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} %", f64::from(self.0) / 1e4)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((*self).into())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": SHARE_MIN, "maximum": 1, "examples": [0.8] })
    }
}

/// What happens when a threshold is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "action", deny_unknown_fields)]
pub enum Action {
    /// No further call begins.
    Block,
    /// Calls go to the next model of a chain. One that is used up blocks.
    Downgrade {
        /// Models as `PROVIDER/MODEL`, the one to leave first at first: 1 to [`CHAIN_MAX`], each once.
        #[schemars(length(min = 1, max = CHAIN_MAX), inner(length(min = 1, max = MODEL_BYTES_MAX)))]
        #[schemars(extend("uniqueItems" = true))]
        chain: Vec<String>,
    },
    /// It is told, once in a period.
    Notify {
        /// Where to send it, beside the events of the job and the log.
        #[schemars(length(max = WEBHOOK_BYTES_MAX), regex(pattern = "^https?://[!-.0->A-~]+([/?][!-~]*)?$"))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        webhook: Option<String>,
    },
    /// It is noted in the events of the job, once in a period, and all goes on.
    Continue,
}

impl Action {
    /// The word on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Downgrade { .. } => "downgrade",
            Self::Notify { .. } => "notify",
            Self::Continue => "continue",
        }
    }
}

/// From which use on something happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(transform = close)]
pub struct Threshold {
    /// The share of the cap that is gone: reached, it counts.
    pub at: Share,
    /// What happens.
    #[serde(flatten)]
    pub action: Action,
}

/// A [`Threshold`] as it is read. Serde itself would take the number of an action for its name, and
/// fields that belong to none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "a null stands beside `notify` alone")]
struct WrittenThreshold {
    at: Share,
    action: String,
    #[serde(default, deserialize_with = "present")]
    chain: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    webhook: Option<Option<String>>,
}

/// What stands there, be it null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WrittenThreshold { at, action, chain, webhook } =
            WrittenThreshold::deserialize(deserializer)?;
        let action = match (&*action, chain, webhook) {
            ("block", None, None) => Action::Block,
            ("downgrade", Some(chain), None) => Action::Downgrade { chain },
            ("notify", None, webhook) => Action::Notify { webhook: webhook.flatten() },
            ("continue", None, None) => Action::Continue,
            _ => return Err(D::Error::custom(FORMS)),
        };
        Ok(Self { at, action })
    }
}

/// What a threshold that is none of these is told.
const FORMS: &str = "`action` is `block`, `downgrade` with `chain`, `notify`, perhaps with `webhook`, \
                     or `continue`, and nothing stands beside it but `at`";

/// Writes each form of a threshold out, so that it can say that nothing else belongs to it.
fn close(schema: &mut Schema) {
    let (Some(shared), Some(forms)) = (schema.remove("properties"), schema.get_mut("oneOf")) else {
        return;
    };
    for form in forms.as_array_mut().into_iter().flatten() {
        let fields = shared.as_object().into_iter().flatten();
        for (name, field) in fields {
            form["properties"][name] = field.clone();
            form["required"].as_array_mut().into_iter().for_each(|all| all.push(json!(name)));
        }
        form["additionalProperties"] = json!(false);
    }
    schema.remove("required");
}

/// What happens on the way to the cap of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostPolicy {
    /// What budgets and tasks call it.
    #[schemars(example = &"careful", length(max = NAME_BYTES_MAX), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// 1 to [`THRESHOLDS_MAX`], in any order.
    #[schemars(length(min = 1, max = THRESHOLDS_MAX))]
    pub thresholds: Vec<Threshold>,
}

impl CostPolicy {
    /// What is wrong with it, and which field it is about. None when nothing is.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
        let name = self.name.as_bytes();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.iter().copied().all(is_letter) {
            let message = format!(
                "`{}` is no name of a policy: expected 1 to {NAME_BYTES_MAX} letters, digits, `.`, \
                 `_` and `-`",
                self.name
            );
            return Some(("name", message));
        }
        let count = self.thresholds.len();
        if !(1..=THRESHOLDS_MAX).contains(&count) {
            let message = format!("has {count} thresholds: expected 1 to {THRESHOLDS_MAX}");
            return Some(("thresholds", message));
        }
        let is_chain = |one: &&Threshold| matches!(one.action, Action::Downgrade { .. });
        if self.thresholds.iter().filter(is_chain).count() > 1 {
            let message = "has two chains: name all models in one, which is gone along as needed";
            return Some(("thresholds", message.to_owned()));
        }
        self.thresholds.iter().find_map(|threshold| match &threshold.action {
            Action::Downgrade { chain } => chain_fault(chain).map(|message| ("chain", message)),
            Action::Notify { webhook: Some(url) } => {
                webhook_fault(url).map(|message| ("webhook", message))
            }
            Action::Block | Action::Notify { webhook: None } | Action::Continue => None,
        })
    }

    /// The thresholds that `used` of `cap` reaches and that are only told, but for those at or below
    /// `told`: they were told before.
    pub fn notices(&self, used: u64, cap: u64, told: Option<Share>) -> Vec<&Threshold> {
        let is_new = |threshold: &&Threshold| {
            matches!(threshold.action, Action::Notify { .. } | Action::Continue)
                && told.is_none_or(|told| threshold.at > told)
                && used >= threshold.at.of(cap)
        };
        let mut new: Vec<_> = self.thresholds.iter().filter(is_new).collect();
        new.sort_by_key(|threshold| threshold.at);
        new
    }

    /// The least use of `cap` above `used` that reaches a threshold. None when there is no other.
    pub fn next_stop(&self, used: u64, cap: u64) -> Option<u64> {
        self.thresholds.iter().map(|one| one.at.of(cap)).filter(|stop| *stop > used).min()
    }
}

fn chain_fault(chain: &[String]) -> Option<String> {
    if !(1..=CHAIN_MAX).contains(&chain.len()) {
        return Some(format!("has {} models: expected 1 to {CHAIN_MAX}", chain.len()));
    }
    let twice = chain.iter().enumerate().find(|(place, model)| chain[..*place].contains(model));
    if let Some((_, model)) = twice {
        return Some(format!("names `{model}` twice"));
    }
    let wrong = chain.iter().find(|model| model.is_empty() || model.len() > MODEL_BYTES_MAX)?;
    Some(format!("`{wrong}` is no name of a model: expected `PROVIDER/MODEL`"))
}

fn webhook_fault(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    // A name and a password would stand in the log.
    let is_right = !authority.is_empty() && !authority.contains('@') && is_plain;
    let is_right = is_right && url.len() <= WEBHOOK_BYTES_MAX;
    (!is_right).then(|| {
        format!(
            "is no address that can be posted to: expected `https://HOST/PATH`, without a user, of \
             at most {WEBHOOK_BYTES_MAX} bytes"
        )
    })
}

/// What a decision is about: a call that is about to be made, or a task that is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// How much is gone.
    pub used: u64,
    /// Of how much.
    pub cap: u64,
    /// Whether what is asked for is left. If not, the budget is used up for this call, and every
    /// threshold is reached.
    pub fits: bool,
    /// The model that is asked for.
    pub wanted: Option<&'a str>,
    /// How far the chain was gone already: the place of the model that calls go to. None for not at
    /// all.
    pub place: Option<usize>,
}

/// What a policy decides about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be made.
    Allow,
    /// It goes to another model.
    Downgrade {
        /// The place of that model in the chain.
        place: usize,
        /// Its name.
        model: String,
    },
    /// It may not be made.
    Block,
}

/// A verdict, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is decided.
    pub verdict: Verdict,
    /// Why, as a sentence without its full stop. Empty when no threshold that decides is reached.
    pub reason: String,
}

/// Decides about a call.
///
/// A threshold that blocks and is reached blocks. Else the chain is gone along: by one place when its
/// threshold is first reached, and by another whenever what is asked for does not fit on the model
/// of the place. Nobody goes back along it. A task that asks for a later model of the chain keeps it.
/// What fits on no model is blocked by whatever threshold there is.
pub fn decide(policy: &CostPolicy, question: &Question<'_>) -> Decision {
    let Question { used, cap, fits, wanted, place } = *question;
    let is_reached = |threshold: &&Threshold| used >= threshold.at.of(cap);
    let blocks = |threshold: &&Threshold| threshold.action == Action::Block;
    let name = &policy.name;
    let why = |at: Share| {
        if fits {
            format!("{used} of {cap} are gone, which is {at} or more")
        } else {
            format!("{used} of {cap} are gone, and what is left is less than the call may use")
        }
    };
    let block = |at: Share| {
        let reason = format!("policy `{name}` blocks at {at}: {}", why(at));
        Decision { verdict: Verdict::Block, reason }
    };
    let reached = policy.thresholds.iter().filter(blocks).filter(is_reached);
    if let Some(at) = reached.map(|one| one.at).max() {
        return block(at);
    }
    let chain = policy.thresholds.iter().find_map(|one| match &one.action {
        Action::Downgrade { chain } => Some((one, chain)),
        Action::Block | Action::Notify { .. } | Action::Continue => None,
    });
    let gone_along = chain.filter(|(one, _)| !fits || place.is_some() || is_reached(one));
    let Some((Threshold { at, .. }, chain)) = gone_along else {
        let last = policy.thresholds.iter().filter(blocks).map(|one| one.at).max();
        return match last.filter(|_| !fits) {
            Some(at) => block(at),
            None => Decision { verdict: Verdict::Allow, reason: String::new() },
        };
    };
    let why = why(*at);
    let own = wanted.and_then(|wanted| chain.iter().position(|model| model == wanted));
    let current = own.max(place);
    let next = match current {
        None => 0,
        // Gone along before, and it still fits.
        Some(current) if fits && place.is_some() => current,
        Some(current) => current + 1,
    };
    match chain.get(next) {
        Some(model) => Decision {
            verdict: Verdict::Downgrade { place: next, model: model.clone() },
            reason: format!("policy `{name}` downgrades to `{model}` at {at}: {why}"),
        },
        None => Decision {
            verdict: Verdict::Block,
            reason: format!("policy `{name}` blocks, since its chain of models is used up: {why}"),
        },
    }
}

/// The policies that are in force, by name, for all who ask: those of `policies.yaml`, and those that
/// were put by API.
#[derive(Debug, Default)]
pub struct CostPolicies(RwLock<BTreeMap<String, Arc<CostPolicy>>>);

impl CostPolicies {
    /// Puts these in force.
    pub fn new(policies: impl IntoIterator<Item = CostPolicy>) -> Self {
        let current = Self::default();
        current.replace(policies);
        current
    }

    /// The policy of this name. None when there is none.
    pub fn find(&self, name: &str) -> Option<Arc<CostPolicy>> {
        self.read().get(name).cloned()
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Arc<CostPolicy>> {
        self.read().values().cloned().collect()
    }

    /// Puts others in force.
    pub fn replace(&self, policies: impl IntoIterator<Item = CostPolicy>) {
        let named = policies.into_iter().map(|policy| (policy.name.clone(), Arc::new(policy)));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = named.collect();
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<CostPolicy>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the tokens of one call of a model cost. None when its price is not known.
pub type Pricing = Arc<dyn Fn(&str, TokenUse) -> Option<MicroUsd> + Send + Sync>;

/// What the calls of models are governed by.
#[derive(Clone)]
pub struct CostRules {
    /// What happens on the way to a cap.
    pub policies: Arc<CostPolicies>,
    /// What calls cost.
    pub pricing: Pricing,
}

/// No policy, and no price.
impl Default for CostRules {
    fn default() -> Self {
        Self { policies: Arc::default(), pricing: Arc::new(|_, _| None) }
    }
}

impl fmt::Debug for CostRules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CostRules")
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn policy(thresholds: &serde_json::Value) -> CostPolicy {
        serde_json::from_value(json!({"name": "careful", "thresholds": thresholds})).unwrap()
    }

    fn asks(used: u64, fits: bool) -> Question<'static> {
        Question { used, cap: 100, fits, wanted: Some("a/big"), place: None }
    }

    fn verdict(policy: &CostPolicy, question: &Question<'_>) -> Verdict {
        decide(policy, question).verdict
    }

    #[test]
    fn a_threshold_has_no_further_fields() {
        let read = |value| serde_json::from_value::<Threshold>(value);
        for action in ["block", "continue", "notify"] {
            read(json!({"at": 0.5, "action": action})).unwrap();
            read(json!({"at": 0.5, "action": action, "then": 1})).unwrap_err();
            read(json!({"at": 0.5, "action": action, "chain": ["a/b"]})).unwrap_err();
            read(json!({"at": 0.5, "action": action, "chain": null})).unwrap_err();
        }
        read(json!({"at": 0.5, "action": "downgrade", "chain": ["a/b"]})).unwrap();
        for wrong in [json!(0), json!("fly"), json!("downgrade")] {
            read(json!({"at": 0.5, "action": wrong})).unwrap_err();
        }
    }

    #[test]
    fn a_threshold_is_reached_by_its_share_and_not_before() {
        let block = policy(&json!([{"at": 0.8, "action": "block"}]));
        assert_eq!(verdict(&block, &asks(79, true)), Verdict::Allow);
        assert_eq!(verdict(&block, &asks(80, true)), Verdict::Block);
        let reason = decide(&block, &asks(80, true)).reason;
        assert_eq!(
            reason,
            "policy `careful` blocks at 80 %: 80 of 100 are gone, which is 80 % or more"
        );
        assert_eq!(verdict(&block, &asks(10, false)), Verdict::Block, "it does not fit");
    }

    #[test]
    fn a_chain_is_gone_along_once_and_then_as_often_as_a_call_does_not_fit() {
        let chain =
            policy(&json!([{"at": 0.5, "action": "downgrade", "chain": ["a/mid", "a/low"]}]));
        let at = |place, fits| Question { place, ..asks(60, fits) };
        let to = |place, model: &str| Verdict::Downgrade { place, model: model.to_owned() };
        assert_eq!(verdict(&chain, &asks(49, true)), Verdict::Allow);
        assert_eq!(verdict(&chain, &at(None, true)), to(0, "a/mid"));
        assert_eq!(verdict(&chain, &at(Some(0), true)), to(0, "a/mid"));
        assert_eq!(verdict(&chain, &at(Some(0), false)), to(1, "a/low"));
        assert_eq!(verdict(&chain, &at(Some(1), false)), Verdict::Block);
        let used_up = decide(&chain, &at(Some(1), false)).reason;
        assert!(used_up.contains("its chain of models is used up"), "{used_up}");
    }

    #[test]
    fn a_chain_begins_after_the_model_that_is_asked_for() {
        let thresholds = json!([{"at": 0.5, "action": "downgrade", "chain": ["a/big", "a/low"]}]);
        let chain = policy(&thresholds);
        let low = Verdict::Downgrade { place: 1, model: "a/low".to_owned() };
        assert_eq!(verdict(&chain, &asks(60, true)), low);
        let last = Question { wanted: Some("a/low"), ..asks(60, true) };
        assert_eq!(verdict(&chain, &last), Verdict::Block);
        // Others have gone along it: whoever asks for a later one keeps that.
        assert_eq!(verdict(&chain, &Question { place: Some(0), ..last }), low);
    }

    #[test]
    fn the_highest_threshold_that_is_reached_decides() {
        let both = policy(&json!([
            {"at": 1, "action": "block"},
            {"at": 0.5, "action": "downgrade", "chain": ["a/low"]},
            {"at": 0.9, "action": "continue"},
        ]));
        assert!(matches!(verdict(&both, &asks(95, true)), Verdict::Downgrade { .. }));
        assert_eq!(verdict(&both, &asks(100, true)), Verdict::Block);
    }

    #[test]
    fn what_is_only_told_is_told_once() {
        let told = policy(&json!([
            {"at": 0.8, "action": "notify", "webhook": "https://example.com/hook"},
            {"at": 0.5, "action": "continue"},
        ]));
        let new = |used, last| {
            told.notices(used, 100, last).iter().map(|new| new.at.ppm()).collect::<Vec<_>>()
        };
        assert_eq!(new(49, None), [0_u32; 0]);
        assert_eq!(new(80, None), [500_000, 800_000]);
        assert_eq!(new(80, Share::from_ppm(500_000)), [800_000]);
        assert_eq!(new(99, Share::from_ppm(800_000)), [0_u32; 0]);
        assert_eq!(verdict(&told, &asks(99, true)), Verdict::Allow);
        assert_eq!((told.next_stop(10, 100), told.next_stop(50, 100)), (Some(50), Some(80)));
        assert_eq!(told.next_stop(80, 100), None);
    }

    #[test]
    fn shares_are_over_nothing_and_at_most_all() {
        let read = |at: serde_json::Value| serde_json::from_value::<Share>(at);
        for wrong in [json!(0), json!(-0.1), json!(1.1), json!("80 %")] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        let share = read(json!(0.29)).unwrap();
        assert_eq!((share.ppm(), share.to_string()), (290_000, "29 %".to_owned()));
        assert_eq!(json!(share), json!(0.29));
        assert_eq!((Share::ALL.of(7), share.of(100), share.of(1)), (7, 29, 1));
    }

    #[test]
    fn a_wrong_policy_says_what_is_wrong() {
        let field = |policy: CostPolicy| policy.fault().map(|(field, _)| field);
        let right = policy(&json!([{"at": 1, "action": "block"}]));
        assert_eq!(field(right.clone()), None);
        assert_eq!(field(CostPolicy { name: "a b".to_owned(), ..right.clone() }), Some("name"));
        assert_eq!(field(CostPolicy { thresholds: Vec::new(), ..right }), Some("thresholds"));
        for webhook in ["ftp://x", "https://", "http://a:b@x/", "http://x y", "x.example"] {
            let wrong = json!([{"at": 1, "action": "notify", "webhook": webhook}]);
            assert_eq!(field(policy(&wrong)), Some("webhook"), "{webhook}");
        }
        for chain in [json!([]), json!(["a", "a"]), json!([""])] {
            let wrong = json!([{"at": 1, "action": "downgrade", "chain": chain}]);
            assert_eq!(field(policy(&wrong)), Some("chain"));
        }
    }

    #[test]
    fn a_policy_is_found_by_its_name() {
        let policies = CostPolicies::new([policy(&json!([{"at": 1, "action": "block"}]))]);
        assert!(policies.find("careful").is_some() && policies.find("other").is_none());
        policies.replace([]);
        assert!(policies.list().is_empty());
    }
}
