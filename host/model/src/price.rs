//! What model tokens cost: the dated table of `prices.yaml`, which comes with the host and which an
//! operator adds to.
//!
//! A model that is not in it has no price. It is never taken to be free.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use crate::money::{MicroUsd, TokenUse, Tokens};
use crate::reader::{self, FileFault, Reader, Section};
use crate::schema::{self, Key, Shape};
use crate::yaml::Node;

/// The table that comes with the host.
const SHIPPED: &str = include_str!("prices.yaml");
/// For how many tokens a price is.
const TOKENS_PRICED: u128 = 1_000_000;
/// The highest price of a million tokens, in micro-USD: a million dollars.
const PRICE_MAX: u64 = 1_000_000_000_000;
/// The name that stands for every model of a provider that is not named beside it.
const ANY_MODEL: &str = "*";

const PRICE: Shape = Shape::Count(0, PRICE_MAX);
const INPUT: Key = Key::new("input", PRICE, "A million tokens sent, in micro-USD.").needed();
const OUTPUT: Key = Key::new("output", PRICE, "A million tokens received, in micro-USD.").needed();
const CACHED: Key = Key::new(
    "cached",
    PRICE,
    "A million tokens sent that the provider had in its cache, in micro-USD. As `input` if left out.",
);

/// The keys of the file.
static TOP: [Key; 1] = [Key::new(
    "providers",
    Shape::Named(&Shape::Section(&PROVIDER)),
    "What the models of each provider cost.",
)
.needed()];

static PROVIDER: [Key; 3] = [
    Key::new("as_of", Shape::Form("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), "The day of these prices.")
        .needed()
        .like(|| json!("2026-11-21")),
    Key::new("source", Shape::Text, "Where they are from: an address, or a contract.")
        .needed()
        .like(|| json!("https://developers.openai.com/api/docs/pricing")),
    Key::new(
        "models",
        Shape::Named(&Shape::Section(&MODEL)),
        "The price of each model by its name; `*` for all that are not named.",
    )
    .needed(),
];

static MODEL: [Key; 4] = [
    INPUT,
    OUTPUT,
    CACHED,
    Key::new("long", Shape::Section(&LONG), "What holds for a call with a long input."),
];

static LONG: [Key; 4] = [
    Key::new("above", Shape::Count(1, u64::MAX), "How many tokens sent are not long yet.").needed(),
    INPUT,
    OUTPUT,
    CACHED,
];

/// What a million tokens of a model cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// What holds for most calls.
    pub rate: Rate,
    /// What holds for a call with more tokens sent than this.
    pub long: Option<(Tokens, Rate)>,
    /// The day of the price, such as `2026-11-21`.
    pub as_of: Arc<str>,
    /// Where the price is from.
    pub source: Arc<str>,
}

/// Micro-USD for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Of tokens sent.
    pub input: u64,
    /// Of tokens received.
    pub output: u64,
    /// Of tokens sent that the provider had in its cache.
    pub cached: u64,
}

impl Price {
    /// What one call costs, rounded up to a whole micro-USD. More cached tokens than tokens sent
    /// count as all of them.
    pub fn cost(&self, called: TokenUse) -> MicroUsd {
        let rate = match self.long {
            Some((above, long)) if called.input > above => long,
            Some(_) | None => self.rate,
        };
        let (input, cached) = (called.input.0, called.cached.0.min(called.input.0));
        let part = |tokens: u64, rate: u64| u128::from(tokens) * u128::from(rate);
        let parts = [
            part(input - cached, rate.input),
            part(cached, rate.cached),
            part(called.output.0, rate.output),
        ];
        let all = parts.into_iter().fold(0, u128::saturating_add).div_ceil(TOKENS_PRICED);
        MicroUsd(u64::try_from(all).unwrap_or(u64::MAX))
    }
}

/// What models cost, by provider and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices(BTreeMap<String, BTreeMap<String, Price>>);

impl Prices {
    /// The table that comes with the host.
    pub fn shipped() -> Self {
        // A test reads it as well, so it holds no fault.
        static READ: LazyLock<Prices> =
            LazyLock::new(|| Prices::parse(SHIPPED).unwrap_or_default());
        READ.clone()
    }

    /// Reads the text of a `prices.yaml`.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order.
    pub fn parse(text: &str) -> Result<Self, Vec<FileFault>> {
        reader::parse(text, read)
    }

    /// The JSON Schema (2020-12) of a `prices.yaml`.
    pub fn schema() -> Value {
        schema::of_file("prices", "What the tokens of language models cost.", &TOP)
    }

    /// The same table, in which the entries of `other` take the place of those of their names.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        for (provider, models) in other.0 {
            self.0.entry(provider).or_default().extend(models);
        }
        self
    }

    /// The price of a model: `PROVIDER/MODEL`, or the name of a model alone that one provider has.
    ///
    /// A name with the day of its version, such as `gpt-5-2025-08-07`, has the price of the name
    /// without it where the table has no other. None for a model without a price.
    pub fn find(&self, name: &str) -> Option<&Price> {
        let Some((provider, model)) = name.split_once('/') else {
            return self.of_any_provider(name).map(|(_, price)| price);
        };
        let models = self.0.get(provider)?;
        named(models, model).or_else(|| models.get(ANY_MODEL))
    }

    /// What one call of a model costs. None when the model has no price.
    pub fn cost(&self, name: &str, called: TokenUse) -> Option<MicroUsd> {
        self.find(name).map(|price| price.cost(called))
    }

    /// The name of a model with its provider, when one provider alone has it; otherwise the name as
    /// it is.
    pub fn full_name(&self, name: &str) -> String {
        match self.of_any_provider(name) {
            Some((provider, _)) if !name.contains('/') => format!("{provider}/{name}"),
            Some(_) | None => name.to_owned(),
        }
    }

    /// The names of a provider's models, without `*`.
    pub fn models<'a>(&'a self, provider: &str) -> impl Iterator<Item = &'a str> {
        let models = self.0.get(provider).into_iter().flat_map(BTreeMap::keys);
        models.map(String::as_str).filter(|name| *name != ANY_MODEL)
    }

    /// The provider that alone has a model of this name.
    fn of_any_provider(&self, model: &str) -> Option<(&str, &Price)> {
        let mut found = self.0.iter().filter_map(|(provider, models)| {
            named(models, model).map(|price| (provider.as_str(), price))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

/// A model by its name, with the day of its version or without.
fn named<'a>(models: &'a BTreeMap<String, Price>, name: &str) -> Option<&'a Price> {
    models.get(name).or_else(|| models.get(without_day(name)?)).filter(|_| name != ANY_MODEL)
}

/// A name without the day at its end: `-20250514` or `-2025-08-07`.
fn without_day(name: &str) -> Option<&str> {
    let ends = |day: &str, form: &str| {
        day.len() == form.len()
            && day
                .bytes()
                .zip(form.bytes())
                .all(|(own, form)| if form == b'-' { own == b'-' } else { own.is_ascii_digit() })
    };
    ["-00000000", "-0000-00-00"].into_iter().find_map(|form| {
        let (name, day) = name.split_at_checked(name.len().checked_sub(form.len())?)?;
        ends(day, form).then_some(name)
    })
}

fn read(reader: &mut Reader, node: &Node) -> Option<Prices> {
    let top = reader.object(node, "", &TOP)?;
    let providers = reader.named(top.get("providers")?, "providers");
    let mut prices = BTreeMap::new();
    for (provider, _, node) in providers {
        let path = top.path("providers");
        let Some(section) = reader.object(node, &format!("{path}.{provider}"), &PROVIDER) else {
            continue;
        };
        prices.insert(provider.to_owned(), read_provider(reader, &section).unwrap_or_default());
    }
    Some(Prices(prices))
}

fn read_provider(reader: &mut Reader, section: &Section<'_>) -> Option<BTreeMap<String, Price>> {
    let day = |text: &str| {
        let day: Result<jiff::civil::Date, _> = text.parse();
        day.map(|_| Arc::from(text)).map_err(|_| "must be a day, such as `2026-11-21`".to_owned())
    };
    let as_of: Option<Arc<str>> = reader.parsed(section, "as_of", day);
    let source: Option<Arc<str>> = reader.parsed(section, "source", |text| Ok(text.into()));
    let (as_of, source) = (as_of?, source?);
    let models_path = section.path("models");
    let mut models = BTreeMap::new();
    for (name, _, node) in reader.named(section.get("models")?, &models_path) {
        let Some(model) = reader.object(node, &format!("{models_path}.{name}"), &MODEL) else {
            continue;
        };
        let rate = read_rate(reader, &model);
        let long = model.get("long").and_then(|node| {
            let long = reader.object(node, &model.path("long"), &LONG)?;
            Some((Tokens(reader.number(&long, "above")?), read_rate(reader, &long)?))
        });
        if let Some(rate) = rate {
            let price =
                Price { rate, long, as_of: Arc::clone(&as_of), source: Arc::clone(&source) };
            models.insert(name.to_owned(), price);
        }
    }
    Some(models)
}

fn read_rate(reader: &mut Reader, section: &Section<'_>) -> Option<Rate> {
    let mut read = |key| {
        let (price, node) = (reader.number(section, key)?, section.get(key)?);
        if price > PRICE_MAX {
            let message = format!("is {price}, but must be from 0 to {PRICE_MAX}");
            reader.invalid(node, &section.path(key), message);
        }
        Some(price)
    };
    let (input, output, cached) = (read("input"), read("output"), read("cached"));
    Some(Rate { input: input?, output: output?, cached: cached.or(input)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    const OWN: &str = "\
providers:
  local:
    as_of: 2026-01-02
    source: the bill for electricity
    models:
      small: { input: 3, output: 5 }
      \"*\": { input: 1000000, output: 2000000, cached: 10, long: { above: 10, input: 2, output: 3 } }
";

    fn called(input: u64, output: u64, cached: u64) -> TokenUse {
        TokenUse { input: Tokens(input), output: Tokens(output), cached: Tokens(cached) }
    }

    #[test]
    fn the_shipped_table_has_the_models_of_every_provider_with_day_and_source() {
        let prices = Prices::parse(SHIPPED).unwrap();
        assert_eq!(Prices::shipped(), prices);
        let sonnet = prices.find("anthropic/claude-sonnet-4").unwrap();
        assert_eq!(sonnet.rate, Rate { input: 3_000_000, output: 15_000_000, cached: 300_000 });
        for provider in ["anthropic", "google", "openai"] {
            assert!(prices.models(provider).count() > 10, "{provider}");
        }
        let mut all = prices.0.values().flat_map(BTreeMap::values);
        assert!(all.all(|price| price.source.starts_with("https://") && price.as_of.len() == 10));
    }

    #[test]
    fn what_runs_at_home_costs_nothing_and_what_is_unknown_has_no_price() {
        let prices = Prices::shipped();
        let many = called(1 << 40, 1 << 40, 0);
        assert_eq!(prices.cost("ollama/llama3:8b", many), Some(MicroUsd(0)));
        for unknown in ["ollama2/llama3", "openai/gpt-0", "openai/*", "llama3", "", "/", "*"] {
            assert_eq!(prices.cost(unknown, many), None, "{unknown}");
        }
    }

    #[test]
    fn a_name_alone_is_found_where_one_provider_has_it() {
        let prices = Prices::shipped();
        assert_eq!(prices.find("gpt-5"), prices.find("openai/gpt-5"));
        assert_eq!(prices.full_name("gpt-5"), "openai/gpt-5");
        assert_eq!(prices.full_name("gpt-5-2025-08-07"), "openai/gpt-5-2025-08-07");
        assert_eq!(prices.full_name("openai/gpt-5"), "openai/gpt-5");
        assert_eq!(prices.full_name("llama3"), "llama3");
        let twice = prices.with(Prices::parse(&OWN.replace("small", "gpt-5")).unwrap());
        assert_eq!((twice.find("gpt-5"), twice.full_name("gpt-5").as_str()), (None, "gpt-5"));
    }

    #[test]
    fn a_version_costs_what_its_model_does_unless_it_is_listed() {
        let prices = Prices::shipped();
        let price = |name: &str| prices.find(name).unwrap();
        assert_eq!(price("claude-sonnet-4-20250514"), price("claude-sonnet-4"));
        assert_eq!(price("openai/gpt-4o-2024-11-20"), price("openai/gpt-4o"));
        assert_ne!(price("openai/gpt-4o-2024-05-13"), price("openai/gpt-4o"));
        assert_eq!(prices.find("openai/gpt-5-turbo"), None);
        assert_eq!(without_day("ü-2025-08-0"), None);
    }

    #[test]
    fn own_entries_win_by_name_and_leave_the_rest() {
        let own = OWN.replace("local:", "openai:").replace("small:", "gpt-5:");
        let prices = Prices::shipped().with(Prices::parse(&own).unwrap());
        let gpt = prices.find("openai/gpt-5").unwrap();
        assert_eq!(gpt.rate, Rate { input: 3, output: 5, cached: 3 });
        assert_eq!((&*gpt.as_of, &*gpt.source), ("2026-01-02", "the bill for electricity"));
        assert_eq!(prices.find("openai/gpt-4o"), Prices::shipped().find("openai/gpt-4o"));
        assert_eq!(prices.find("openai/gpt-0").unwrap().rate.output, 2_000_000);
    }

    #[test]
    fn a_cost_is_rounded_up_once_and_long_inputs_have_their_own() {
        let prices = Prices::parse(OWN).unwrap();
        let cost = |name: &str, called| prices.cost(name, called).unwrap().0;
        assert_eq!(cost("local/small", called(0, 0, 0)), 0);
        assert_eq!(cost("local/small", called(1, 1, 0)), 1);
        assert_eq!(cost("local/small", called(1_000_000, 1_000_000, 0)), 8);
        assert_eq!(cost("local/other", called(10, 1, 4)), 9, "six, and a little for four, and two");
        assert_eq!(cost("local/other", called(11, 1, 0)), 1, "it is long");
        assert_eq!(cost("local/other", called(5, 0, 100)), 1, "no more is cached than was sent");
        let price = Price { long: None, ..prices.find("local/other").unwrap().clone() };
        assert_eq!(price.cost(called(u64::MAX, u64::MAX, 0)), MicroUsd(u64::MAX));
    }

    #[test]
    fn every_fault_has_its_place() {
        let faults = |from: &str, to: &str| {
            let text = OWN.replacen(from, to, 1);
            let faults = Prices::parse(&text).unwrap_err();
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        for (from, to, expected) in [
            ("input: 3,", "", "6:14: `providers.local.models.small.input` is missing"),
            ("input: 3", "input: -3", "must be a whole number"),
            ("input: 3", "input: 0.5", "must be a whole number"),
            ("input: 3", "input: 1000000000001", "must be from 0 to 1000000000000"),
            ("output: 5", "ouptut: 5", "did you mean `output`?"),
            ("2026-01-02", "2026-02-30", "3:12: `providers.local.as_of` must be a day"),
            ("    source: the bill for electricity\n", "", "`providers.local.source` is missing"),
            ("above: 10,", "", "`providers.local.models.*.long.above` is missing"),
            ("providers:", "provider:", "did you mean `providers`?"),
        ] {
            let found = faults(from, to);
            assert!(found.contains(expected), "{to}: {found}");
        }
    }

    proptest! {
        #[test]
        fn a_cost_never_shrinks_when_more_is_used(
            input in 0..1_u64 << 40, output in 0..1_u64 << 40, cached in 0..1_u64 << 40, more in 0..1000_u64,
        ) {
            let prices = Prices::shipped();
            let cost = |called| prices.cost("openai/gpt-5.5", called).unwrap();
            let less = cost(called(input, output, cached));
            prop_assert!(less <= cost(called(input, output + more, cached)));
            prop_assert!(less <= cost(called(input + more, output, cached)));
            prop_assert!(cost(called(input, output, input)) <= less);
            prop_assert_eq!(less, cost(called(input, output, cached)));
        }
    }
}
