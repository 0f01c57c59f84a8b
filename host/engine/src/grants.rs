//! Decides what a plugin is granted when it is loaded.

use apflow_model::capability::{Capabilities, Grant};
use apflow_model::consent::{Consent, Difference, GrantLock};
use apflow_model::manifest::Manifest;
use apflow_model::plugin::{DefinitionText, Digest, Plugin};

use crate::error::EngineError;

/// How the operator consents to what a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// Nothing was said: a plugin of this name that is installed keeps its grants, if this one asks
    /// for no more.
    Unsaid,
    /// Exactly this was said.
    Said {
        /// What is granted.
        grants: Vec<Grant>,
        /// Whether all that is asked for is granted beside, but what has a
        /// [warning](Grant::warning).
        all: bool,
    },
    /// A lock that was reviewed says it.
    Locked {
        /// What to call the lock in messages.
        file: String,
        /// Its text.
        text: String,
    },
}

/// What consent is about: a component with its manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) manifest: &'a Manifest,
    /// What the grants are bound to.
    pub(crate) bound_to: Digest,
    /// How the operator named it, to be repeated in a command. None when it came in a form.
    pub(crate) typed: Option<&'a str>,
}

impl Approval {
    /// What the operator consents to. `earlier` is the installed plugin of the name, `lock` what is
    /// allowed now.
    ///
    /// # Errors
    ///
    /// [`EngineError::GrantNotAsked`], [`EngineError::ConsentNeeded`], [`EngineError::NotLocked`]
    /// and [`EngineError::InvalidLock`].
    pub(crate) fn decide(
        self,
        asking: Asking<'_>,
        earlier: Option<&Plugin>,
        lock: &GrantLock,
    ) -> Result<Consent, EngineError> {
        let asked = &asking.manifest.capabilities;
        let grants = match self {
            Self::Unsaid => keep(asking, earlier, lock)?,
            Self::Said { mut grants, all } => {
                check(&grants, &[(&asking.manifest.name, asked)])?;
                if all {
                    grants.extend(
                        Grant::all_of(asked).into_iter().filter(|one| one.warning().is_none()),
                    );
                }
                grants
            }
            Self::Locked { file, text } => locked(asking, file, &text)?,
        };
        let mut kept: Vec<Grant> = Vec::with_capacity(grants.len());
        for grant in grants {
            if !kept.contains(&grant) {
                kept.push(grant);
            }
        }
        let version = asking.manifest.version.to_string();
        Ok(Consent { version, asks: asked.lines(), grants: kept })
    }
}

/// What the grants of a component with this definition are bound to.
pub(crate) fn bound_to(component: Digest, text: &DefinitionText) -> Digest {
    match text {
        DefinitionText::Plugin(_) => component,
        DefinitionText::Tool { text, .. } => {
            let both: Vec<u8> = component.0.iter().copied().chain(text.bytes()).collect();
            apflow_sandbox::digest(&both)
        }
    }
}

/// What the plugin before was granted and this one asks for, when this one asks for no more.
fn keep(
    asking: Asking<'_>,
    earlier: Option<&Plugin>,
    lock: &GrantLock,
) -> Result<Vec<Grant>, EngineError> {
    let Some(earlier) = earlier else { return Ok(Vec::new()) };
    let (before, asked) = (&earlier.manifest.capabilities, &asking.manifest.capabilities);
    let consent = lock.find(&earlier.manifest.name, &earlier.bound_to);
    let kept = consent.iter().flat_map(|consent| &consent.grants);
    let kept: Vec<Grant> = kept.filter(|grant| grant.is_asked(asked)).cloned().collect();
    if before.covers(asked) {
        return Ok(kept);
    }
    Err(EngineError::ConsentNeeded {
        plugin: asking.manifest.name.clone(),
        before: earlier.manifest.version.to_string(),
        difference: Box::new(Difference::between(&before.lines(), &asked.lines())),
        consents: consents(asking, kept),
    })
}

/// How to consent: to all, and to what was granted before with what is new.
fn consents(asking: Asking<'_>, mut kept: Vec<Grant>) -> String {
    let (again, yes) = match asking.typed {
        Some(typed) => (format!("apflow-host load {}", shell_word(typed)), " --yes"),
        None => ("send the form again with the fields".to_owned(), " yes=true"),
    };
    let option = |grant: &Grant| match asking.typed {
        Some(_) => format!(" --grant {}", shell_word(&grant.to_string())),
        None => format!(" grant={grant}"),
    };
    let all = Grant::all_of(&asking.manifest.capabilities);
    let loud: String = all.iter().filter(|grant| grant.warning().is_some()).map(option).collect();
    let new: Vec<Grant> = all.into_iter().filter(|grant| !kept.contains(grant)).collect();
    kept.extend(new);
    let each: String = kept.iter().map(option).collect();
    let mut text = format!("to allow all of it: {again}{yes}{loud}");
    if !each.is_empty() {
        text.push_str("\nor choose from: ");
        text.push_str(&again);
        text.push_str(&each);
    }
    text
}

/// A word as a shell reads it back.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a reviewed lock grants exactly this component, asking for exactly what was reviewed.
fn locked(asking: Asking<'_>, file: String, text: &str) -> Result<Vec<Grant>, EngineError> {
    let lock = match GrantLock::parse(text) {
        Ok(lock) => lock,
        Err(faults) => return Err(EngineError::InvalidLock { file, faults }),
    };
    let name = &asking.manifest.name;
    let not_locked = |why| EngineError::NotLocked { file, plugin: name.clone(), why };
    let Some(consent) = lock.find(name, &asking.bound_to) else {
        let known: Vec<String> = lock.digests(name).map(|digest| digest.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(not_locked(format!(
            "it has the sha256 {}, and the lock knows {known}",
            asking.bound_to
        )));
    };
    let difference = Difference::between(&consent.asks, &asking.manifest.capabilities.lines());
    if !difference.is_none() {
        let why = format!("it asks for something else than was reviewed:{difference}");
        return Err(not_locked(why));
    }
    check(&consent.grants, &[(name, &asking.manifest.capabilities)])?;
    Ok(consent.grants.clone())
}

/// Refuses a grant that none of the plugins asks for: a typing error must not look like consent.
pub(crate) fn check(
    grants: &[Grant],
    plugins: &[(&String, &Capabilities)],
) -> Result<(), EngineError> {
    let is_asked = |grant: &&Grant| plugins.iter().any(|(_, asked)| grant.is_asked(asked));
    let Some(grant) = grants.iter().find(|grant| !is_asked(grant)) else { return Ok(()) };
    let names: Vec<String> = plugins.iter().map(|(name, _)| format!("`{name}`")).collect();
    let lines: Vec<String> = plugins.iter().flat_map(|(_, asked)| asked.lines()).collect();
    Err(EngineError::GrantNotAsked {
        grant: Box::new(grant.clone()),
        asker: names.join(" or "),
        asked: if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") },
    })
}

#[cfg(test)]
mod tests {
    use apflow_model::clock::Timestamp;
    use apflow_model::plugin::{Descriptor, World};
    use serde_json::json;

    use super::*;

    const OLD: Digest = Digest([1; 32]);
    const NEW: Digest = Digest([2; 32]);

    fn manifest(asks: &str) -> Manifest {
        let text = format!(
            "name: own\nversion: 1.0.0\ndescription: Own.\ncomponent: own.wasm\ncapabilities: {asks}\n"
        );
        Manifest::parse(&text).unwrap()
    }

    fn earlier(asks: &str) -> Plugin {
        Plugin {
            digest: OLD,
            bound_to: OLD,
            world: World::Executor,
            manifest: manifest(asks),
            descriptor: Descriptor {
                id: "own".into(),
                name: "own".into(),
                description: "Own.".into(),
                version: "1.0.0".into(),
                input_schema: json!(true),
                output_schema: json!(true),
                tags: Vec::new(),
            },
            tool: None,
            builtin: false,
            loaded_at: Timestamp::from_unix_ms(0),
            quarantined_at: None,
        }
    }

    fn grants(texts: &[&str]) -> Vec<Grant> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lock(digest: Digest, asks: &str, granted: &[&str]) -> GrantLock {
        let asks = manifest(asks).capabilities.lines();
        let mut lock = GrantLock::default();
        let consent = Consent { version: "1.0.0".into(), asks, grants: grants(granted) };
        lock.put("own", digest, Some(consent));
        lock
    }

    /// What the new component is granted, asking for `now`.
    fn decide(
        approval: Approval,
        now: &str,
        before: &str,
        lock: &GrantLock,
    ) -> Result<Vec<Grant>, String> {
        let asking = Asking { manifest: &manifest(now), bound_to: NEW, typed: Some("./my own") };
        let decided = approval.decide(asking, Some(&earlier(before)), lock);
        decided.map(|consent| consent.grants).map_err(|error| error.to_string())
    }

    #[test]
    fn who_asks_for_no_more_keeps_what_is_still_asked() {
        let before = "{ env: [LANG, TZ], http: [\"https://*\"] }";
        let lock = lock(OLD, before, &["env=TZ", "http=https://a.example"]);
        let kept = decide(Approval::Unsaid, "{ http: [\"GET https://*\"] }", before, &lock);
        assert_eq!(kept, Ok(grants(&["http=https://a.example"])));
    }

    #[test]
    fn grants_of_another_component_are_not_kept() {
        let lock = lock(Digest([9; 32]), "{ env: [LANG] }", &["env=LANG"]);
        assert_eq!(
            decide(Approval::Unsaid, "{ env: [LANG] }", "{ env: [LANG] }", &lock),
            Ok(vec![])
        );
    }

    #[test]
    fn who_asks_for_more_is_shown_with_the_commands_that_consent() {
        let lock = lock(OLD, "{ env: [LANG] }", &["env=LANG"]);
        let now = "{ http: [\"GET https://*\"], env: [LANG], clocks: true, secret_values: [pin] }";
        let error = decide(Approval::Unsaid, now, "{ env: [LANG], random: true }", &lock);
        let error = error.unwrap_err();
        for line in [
            "\n  - random\n  + http GET https://*\n  + secret-value pin\n  + clocks\n",
            "apflow-host load './my own' --yes --grant secret-value=pin\n",
            "--grant env=LANG --grant 'http=GET https://*' --grant secret-value=pin",
        ] {
            assert!(error.contains(line), "{line}: {error}");
        }
        let all = Approval::Said { grants: Vec::new(), all: true };
        let granted = decide(all, now, "{}", &lock).unwrap();
        assert_eq!(granted, grants(&["http=GET https://*", "env=LANG"]), "what is loud is said");
        let said = Approval::Said { grants: grants(&["secret-value=pin"]), all: false };
        assert_eq!(decide(said, now, "{}", &lock), Ok(grants(&["secret-value=pin"])));
    }

    #[test]
    fn a_reviewed_lock_allows_its_component_and_what_was_reviewed_alone() {
        let asks = "{ env: [LANG] }";
        let locked =
            |lock: GrantLock| Approval::Locked { file: "it".into(), text: lock.to_string() };
        let none = GrantLock::default();
        let good = locked(lock(NEW, asks, &["env=LANG"]));
        assert_eq!(decide(good, asks, "{}", &none), Ok(grants(&["env=LANG"])));
        let other = decide(locked(lock(OLD, asks, &["env=LANG"])), asks, asks, &none).unwrap_err();
        assert!(other.contains(&NEW.to_string()) && other.contains(&OLD.to_string()), "{other}");
        let changed = decide(locked(lock(NEW, asks, &[])), "{ env: [TZ] }", asks, &none);
        assert!(changed.unwrap_err().ends_with("reviewed:\n  - env LANG\n  + env TZ"));
        let faulty = Approval::Locked { file: "it".into(), text: "plugins: 3".into() };
        assert_eq!(decide(faulty, asks, asks, &none).unwrap_err(), "it is not valid");
    }
}
