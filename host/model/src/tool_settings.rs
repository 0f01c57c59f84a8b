//! How the host takes care of tools: `tools` in `config.yaml`.

use std::time::Duration;

use serde::Deserialize;

use crate::cache::CacheLimits;

/// How the host takes care of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, try_from = "Written")]
pub struct ToolSettings {
    /// How many results are kept to be given again.
    pub cache: CacheLimits,
    /// How long a look at the health of a tool is good for.
    pub health: Duration,
}

impl Default for ToolSettings {
    fn default() -> Self {
        Self { cache: CacheLimits::default(), health: Duration::from_secs(30) }
    }
}

/// The settings as an operator writes them.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// From 0 to 1,000,000.
    cache_results_max: u64,
    /// From 1 to 1,048,576.
    cache_mib_max: u64,
    /// From 0 to 86,400. With 0, every look is a new one.
    health_seconds: u64,
}

impl Default for Written {
    fn default() -> Self {
        let ToolSettings { cache, health } = ToolSettings::default();
        Self {
            cache_results_max: cache.results_max,
            cache_mib_max: cache.bytes_max >> 20,
            health_seconds: health.as_secs(),
        }
    }
}

impl TryFrom<Written> for ToolSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { cache_results_max, cache_mib_max, health_seconds } = written;
        for (name, number, least, most) in [
            ("cache_results_max", cache_results_max, 0, 1_000_000),
            ("cache_mib_max", cache_mib_max, 1, 1 << 20),
            ("health_seconds", health_seconds, 0, 86_400),
        ] {
            if !(least..=most).contains(&number) {
                return Err(format!("`{name}` is {number}: expected {least} to {most}"));
            }
        }
        let cache = CacheLimits { results_max: cache_results_max, bytes_max: cache_mib_max << 20 };
        Ok(Self { cache, health: Duration::from_secs(health_seconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_usual_and_what_is_out_of_range_is_refused() {
        let read = |text| serde_json::from_str::<ToolSettings>(text);
        assert_eq!(read("{}").unwrap(), ToolSettings::default());
        let read_right = read(r#"{"cache_results_max": 0, "cache_mib_max": 2}"#).unwrap();
        assert_eq!(read_right.cache, CacheLimits { results_max: 0, bytes_max: 2 << 20 });
        for wrong in [r#"{"cache_mib_max": 0}"#, r#"{"health_seconds": 86401}"#, r#"{"cache": 1}"#]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
