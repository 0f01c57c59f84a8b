//! The options for all verbs, as settings and as another process of this program is given them.

use std::path::PathBuf;

use super::arguments::{Arguments, LogLines};
use super::config::Flag;

impl Arguments {
    /// The options for all verbs, as another process of this program is given them.
    pub(crate) fn passed_on(&self) -> Vec<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let format = self.log_format.map(|lines| match lines {
            LogLines::Text => "text".to_owned(),
            LogLines::Json => "json".to_owned(),
        });
        let options = [
            ("--data-dir", path(&self.data_dir)),
            ("--config-dir", path(&self.config_dir)),
            ("--log", self.log.clone()),
            ("--log-format", format),
            ("--compile-timeout", Some(format!("{}ms", self.compile_timeout.0.as_millis()))),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        given.flatten().collect()
    }

    /// The settings that were typed.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let log = self.log.as_ref().map(|log| Flag {
            path: "telemetry.log",
            name: "--log",
            value: log.as_str().into(),
        });
        let format = self.log_format.map(|lines| Flag {
            path: "telemetry.log_format",
            name: "--log-format",
            value: match lines {
                LogLines::Text => "text".into(),
                LogLines::Json => "json".into(),
            },
        });
        log.into_iter().chain(format).collect()
    }
}
