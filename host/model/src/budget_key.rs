//! Which budget of a principal: by a name that stands in a path.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::budget::{Budget, BudgetUnit, Period};

/// Which budget of a principal, written as `PRINCIPAL/UNIT/PERIOD`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(try_from = "String", into = "String", extend("examples" = ["ada/tokens/day"], "pattern" = "^.+/(tokens|micro_usd)/(all|day|week|month)$"))]
pub struct BudgetKey {
    /// Whose it is.
    pub principal: String,
    /// What is counted.
    pub unit: BudgetUnit,
    /// How long it lasts.
    pub period: Period,
}

impl BudgetKey {
    /// The key of a budget of a principal.
    pub fn of(budget: &Budget) -> Self {
        Self { principal: budget.owner.clone(), unit: budget.unit, period: budget.period }
    }
}

impl fmt::Display for BudgetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.principal, self.unit, self.period)
    }
}

impl FromStr for BudgetKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The name of a principal may hold a slash.
        let mut parts = text.rsplitn(3, '/');
        let (Some(period), Some(unit), Some(principal)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err("expected PRINCIPAL/UNIT/PERIOD, for example `ada/tokens/day`".to_owned());
        };
        Ok(Self { principal: principal.to_owned(), unit: unit.parse()?, period: period.parse()? })
    }
}

impl Serialize for BudgetKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BudgetKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in ["ada/tokens/day", "team/ada/micro_usd/all"] {
            assert_eq!(text.parse::<BudgetKey>().unwrap().to_string(), text);
        }
        assert_eq!("team/ada/tokens/week".parse::<BudgetKey>().unwrap().principal, "team/ada");
        for wrong in ["ada", "ada/tokens", "ada/dollars/day", "ada/tokens/year"] {
            assert!(wrong.parse::<BudgetKey>().is_err(), "{wrong}");
        }
    }
}
