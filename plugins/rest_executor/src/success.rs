//! Sets of statuses: `[200, "3xx", "400-404"]`.

use apflow_sdk::{JsonSchema, schemars};
use serde::Deserialize;

/// A set of statuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(transparent)]
pub struct Statuses(#[schemars(length(min = 1, max = 50))] Vec<Range>);

impl Statuses {
    /// Whether this status is in the set.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| (range.first..=range.last).contains(&status))
    }
}

/// Statuses that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
struct Range {
    first: u16,
    last: u16,
}

/// One status, a hundred of them such as `2xx`, or a range such as `200-204`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    /// One status.
    One(#[schemars(range(min = 100, max = 599))] u16),
    /// Several.
    Several(#[schemars(regex(pattern = r"^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$"))] String),
}

impl JsonSchema for Range {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

impl TryFrom<Written> for Range {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let range = match &written {
            Written::One(status) => Some((*status, *status)),
            Written::Several(text) => read(text),
        };
        let is_status = |status: &u16| (100..=599).contains(status);
        match range {
            Some((first, last)) if is_status(&first) && is_status(&last) && first <= last => {
                Ok(Self { first, last })
            }
            _ => Err("a status must be a number from 100 to 599, `2xx`, or `200-204`".to_owned()),
        }
    }
}

fn read(text: &str) -> Option<(u16, u16)> {
    if let Some(hundreds) = text.strip_suffix("xx") {
        let hundreds: u16 = hundreds.parse().ok().filter(|hundreds| *hundreds < 10)?;
        return Some((hundreds * 100, hundreds * 100 + 99));
    }
    match text.split_once('-') {
        Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        None => text.parse().ok().map(|status| (status, status)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Statuses, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_hundreds_and_ranges_make_a_set() {
        let statuses = read(json!(["2xx", 304, "400-404", "410"])).unwrap();
        for status in [200, 299, 304, 400, 404, 410] {
            assert!(statuses.contains(status), "{status}");
        }
        for status in [199, 300, 303, 305, 405, 411, 500] {
            assert!(!statuses.contains(status), "{status}");
        }
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for value in [json!(["6xx"]), json!(["204-200"]), json!([99]), json!(["2x"]), json!("2xx")]
        {
            assert!(read(value.clone()).is_err(), "{value}");
        }
    }
}
