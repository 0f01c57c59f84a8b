//! What the operator allows each component: `grants.lock`.
//!
//! It is text that people review and keep beside their code. Reading and writing the file is the
//! engine's.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::capability::Grant;
use crate::manifest::check_name;
use crate::plugin::Digest;
use crate::reader::{self, FileFault, Reader};
use crate::yaml::Node;

const HEAD: &str = "\
# What the operator allows each plugin. `apflow-host load` writes this file.
# A grant counts for the component with this sha256, and for no other. To take a grant away, take
# its line away. `asks` is for those who review: changing it changes nothing.
";

/// What the operator allows each component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrantLock {
    consents: BTreeMap<(String, Digest), Consent>,
}

/// What the operator allows one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The version of the plugin, for people.
    pub version: String,
    /// What its manifest asked for when this was granted, as words.
    pub asks: Vec<String>,
    /// What it was granted.
    pub grants: Vec<Grant>,
}

impl GrantLock {
    /// What is allowed the component of a plugin. None when nobody was asked.
    pub fn find(&self, plugin: &str, digest: &Digest) -> Option<&Consent> {
        self.consents.get(&(plugin.to_owned(), *digest))
    }

    /// The components that a plugin of this name may be.
    pub fn digests<'a>(&'a self, plugin: &'a str) -> impl Iterator<Item = Digest> + 'a {
        self.consents.keys().filter(move |(name, _)| name == plugin).map(|(_, digest)| *digest)
    }

    /// Allows the component of a plugin exactly this. Without anything, it is not known any more.
    pub fn put(&mut self, plugin: &str, digest: Digest, consent: Option<Consent>) {
        let key = (plugin.to_owned(), digest);
        match consent {
            Some(consent) => self.consents.insert(key, consent),
            None => self.consents.remove(&key),
        };
    }

    /// Forgets every component of the name but the one to keep.
    pub fn keep_only(&mut self, plugin: &str, kept: Option<Digest>) {
        self.consents.retain(|(name, digest), _| name != plugin || Some(*digest) == kept);
    }

    /// Reads the text of a lock.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order.
    pub fn parse(text: &str) -> Result<Self, Vec<FileFault>> {
        reader::parse(text, |reader, node| {
            let mut lock = Self::default();
            lock.read(reader, node);
            Some(lock)
        })
    }

    fn read(&mut self, reader: &mut Reader, node: &Node) {
        let Some(top) = reader.section(node, "", &["plugins"]) else { return };
        for (index, node) in reader.list(&top, "plugins").iter().enumerate() {
            self.read_plugin(reader, node, &format!("plugins.{index}"));
        }
    }

    fn read_plugin(&mut self, reader: &mut Reader, node: &Node, path: &str) {
        const KEYS: [&str; 5] = ["name", "version", "sha256", "asks", "grants"];
        let Some(section) = reader.section(node, path, &KEYS) else { return };
        let mut required = |key: &str| reader.required_text(&section, key).map(str::to_owned);
        let (name, version, digest) = (required("name"), required("version"), required("sha256"));
        let name = name.and_then(|_| reader.parsed(&section, "name", check_name));
        let digest = digest.and_then(|_| reader.parsed(&section, "sha256", str::parse::<Digest>));
        let asks = reader.texts(&section, "asks");
        let asks = asks.into_iter().map(|(_, text)| text.to_owned()).collect();
        let mut grants = Vec::new();
        for (item, text) in reader.texts(&section, "grants") {
            match parse_grant(text) {
                Ok(grant) => grants.push(grant),
                Err(expected) => reader.invalid(item, &section.path("grants"), expected),
            }
        }
        let (Some(name), Some(version), Some(digest)) = (name, version, digest) else { return };
        if self.find(&name, &digest).is_some() {
            reader.invalid(node, path, format!("says what `{name}` may do a second time"));
        }
        self.put(&name, digest, Some(Consent { version, asks, grants }));
    }
}

/// Reads a grant that means the same wherever the host runs.
fn parse_grant(text: &str) -> Result<Grant, String> {
    let grant = text.parse::<Grant>().map_err(|error| error.to_string())?;
    if matches!(&grant, Grant::FsIn(path) if !path.starts_with('/')) {
        return Err(format!("grant `{text}`: write the whole path, from `/` on"));
    }
    Ok(grant)
}

impl fmt::Display for GrantLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HEAD)?;
        if self.consents.is_empty() {
            return formatter.write_str("plugins: []\n");
        }
        formatter.write_str("plugins:\n")?;
        for ((name, digest), Consent { version, asks, grants }) in &self.consents {
            writeln!(formatter, "  - name: {}", quoted(name))?;
            writeln!(formatter, "    version: {}", quoted(version))?;
            writeln!(formatter, "    sha256: \"{digest}\"")?;
            let grants: Vec<String> = grants.iter().map(Grant::to_string).collect();
            write_list(formatter, "asks", asks)?;
            write_list(formatter, "grants", &grants)?;
        }
        Ok(())
    }
}

fn write_list(formatter: &mut fmt::Formatter<'_>, key: &str, texts: &[String]) -> fmt::Result {
    if texts.is_empty() {
        return writeln!(formatter, "    {key}: []");
    }
    writeln!(formatter, "    {key}:")?;
    texts.iter().try_for_each(|text| writeln!(formatter, "      - {}", quoted(text)))
}

/// A text in quotes. A JSON string is one of YAML too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What one manifest asks for and another does not, line by line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    /// What is newly asked for.
    pub more: Vec<String>,
    /// What is no longer asked for.
    pub less: Vec<String>,
}

impl Difference {
    /// Compares what was asked for with what is asked for now.
    pub fn between(before: &[String], now: &[String]) -> Self {
        let lacking = |from: &[String], texts: &[String]| {
            let known: HashSet<&String> = from.iter().collect();
            texts.iter().filter(|text| !known.contains(text)).cloned().collect()
        };
        Self { more: lacking(before, now), less: lacking(now, before) }
    }

    /// Whether both ask for the same.
    pub fn is_none(&self) -> bool {
        self.more.is_empty() && self.less.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.less.iter().map(|line| ('-', line));
        let mut lines = lines.chain(self.more.iter().map(|line| ('+', line)));
        lines.try_for_each(|(sign, line)| write!(formatter, "\n  {sign} {line}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    const DIGEST: Digest = Digest([0xab; 32]);

    fn lock(grants: &[&str]) -> GrantLock {
        let mut lock = GrantLock::default();
        let grants = grants.iter().map(|text| text.parse().unwrap()).collect();
        let asks = vec!["http https://*".to_owned(), "clocks".to_owned()];
        lock.put("own", DIGEST, Some(Consent { version: "1.0.0".to_owned(), asks, grants }));
        lock
    }

    fn faults(text: &str) -> Vec<FileFault> {
        GrantLock::parse(text).unwrap_err()
    }

    #[test]
    fn a_lock_is_written_as_it_was_read() {
        let mut written = lock(&["http=GET https://a.example/v1", "fs.in=/srv/a \"b\"\n", "env=A"]);
        let version = "2".to_owned();
        let nothing = Consent { version, asks: Vec::new(), grants: Vec::new() };
        written.put("null", Digest([0; 32]), Some(nothing));
        assert_eq!(GrantLock::parse(&written.to_string()).unwrap(), written);
        let empty = GrantLock::default();
        assert_eq!(GrantLock::parse(&empty.to_string()).unwrap(), empty);
    }

    #[test]
    fn a_grant_counts_for_its_component_alone() {
        let lock = lock(&["env=LANG"]);
        assert_eq!(lock.find("own", &DIGEST).unwrap().grants.len(), 1);
        assert!(lock.find("own", &Digest([1; 32])).is_none());
        assert!(lock.find("other", &DIGEST).is_none());
    }

    #[test]
    fn two_components_of_a_name_stand_beside_each_other_until_one_is_kept() {
        let mut lock = lock(&[]);
        let newer = Digest([1; 32]);
        lock.put("own", newer, lock.find("own", &DIGEST).cloned());
        assert_eq!(lock.digests("own").count(), 2);
        lock.keep_only("own", Some(newer));
        assert_eq!(lock.digests("own").collect::<Vec<_>>(), [newer]);
        lock.keep_only("own", None);
        assert_eq!(lock, GrantLock::default());
    }

    #[test]
    fn the_last_line_of_a_list_can_be_taken_away() {
        let text = lock(&["env=LANG"]).to_string().replace("      - \"env=LANG\"\n", "");
        assert_eq!(GrantLock::parse(&text).unwrap(), lock(&[]));
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        let text = lock(&["env=LANG"]).to_string();
        let found = |from: &str, to: &str| {
            let fault = faults(&text.replace(from, to)).remove(0);
            (fault.line, fault.code, fault.path)
        };
        assert_eq!(found("env=LANG", "udp=1"), (12, "invalid-value", "plugins.0.grants".into()));
        assert_eq!(found("env=LANG", "fs.in=here").1, "invalid-value");
        assert_eq!(found("grants:", "grant:").1, "unknown-field");
        assert_eq!(found("    sha256", "    # sha256").1, "missing-field");
        assert_eq!(found("abab", "abxx").1, "invalid-value");
        assert_eq!(found("plugins:", "plugins").1, "invalid-yaml");
        let entry = text.split_once("plugins:\n").unwrap().1;
        assert!(faults(&format!("{text}{entry}"))[0].message.contains("a second time"));
    }

    #[test]
    fn a_difference_names_what_came_and_what_went() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let difference =
            Difference::between(&texts(&["clocks", "env A"]), &texts(&["clocks", "env B"]));
        assert_eq!(difference.to_string(), "\n  - env A\n  + env B");
        assert!(Difference::between(&texts(&["a", "b"]), &texts(&["b", "a"])).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_one_line_that_reads_back(
            texts in prop::collection::vec(any::<String>(), 0..4),
        ) {
            let mut lock = lock(&[]);
            let grants = texts.iter().map(|text| Grant::FsIn(format!("/{text}"))).collect();
            let consent = Consent { version: "1".to_owned(), asks: texts, grants };
            lock.put("own", DIGEST, Some(consent));
            prop_assert_eq!(GrantLock::parse(&lock.to_string()), Ok(lock));
        }
    }
}
