//! Roles: what those who act in them may do, and which tools they may run.
//!
//! It checks no token and parks no task: it says what a role may.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::json;

use crate::access::{ADMIN, Permission, Principal};
use crate::likeness::nearest;
use crate::manifest::{check_name, is_name_character};
use crate::rate::{PER_MINUTE_MAX, PerMinute};
use crate::reader::{Reader, Section};
use crate::schema::{Key, Shape};
use crate::yaml::{Kind, Node, Place};

/// How alike a permission must be to be suggested for another, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

const PERMISSION: Shape = Shape::Word(|| Permission::ALL.map(Permission::name).to_vec());
const PATTERN: Shape = Shape::Form(r"^([a-z][a-z0-9_-]{0,63}\*?|\*)$");

/// The keys of a role.
pub(crate) static KEYS: [Key; 6] = [
    Key::new(
        "permissions",
        Shape::Either(&[Shape::Form(r"^\*$"), Shape::List(&PERMISSION)]),
        "What it may do: a list, or `\"*\"` for everything.",
    )
    .needed()
    .like(|| json!(["jobs-submit", "jobs-read", "plugins-read"])),
    Key::new(
        "blocked_tools",
        Shape::List(&PATTERN),
        "Tools and executors that it may not run; a `*` at the end stands for any ending.",
    )
    .or(|| json!([]))
    .like(|| json!(["shodan", "net_*"])),
    Key::new(
        "requires_approval",
        Shape::List(&PATTERN),
        "Tools and executors that it may run when somebody approves it, written in the same way.",
    )
    .or(|| json!([]))
    .like(|| json!(["transfer"])),
    Key::new("may_approve_own", Shape::Flag, "Whether it may approve tasks of its own jobs.")
        .or(|| json!(false)),
    Key::new(
        REQUESTS,
        Shape::Count(0, PER_MINUTE_MAX),
        "How many requests a minute each principal may send that acts in it; 0 for any number.",
    )
    .or(|| json!(60)),
    Key::new(
        REQUESTS_TOGETHER,
        Shape::Count(0, PER_MINUTE_MAX),
        "How many requests a minute all its principals may send together; 0 for any number.",
    )
    .or(|| json!(0)),
];

const REQUESTS: &str = "requests_per_minute";
const REQUESTS_TOGETHER: &str = "requests_per_minute_together";

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its name, for example `agent`.
    pub name: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// The tools and executors that it may not run.
    pub blocked_tools: Vec<ToolPattern>,
    /// Those that it may run only when somebody approves it.
    pub requires_approval: Vec<ToolPattern>,
    /// Whether it may approve tasks of its own jobs.
    pub may_approve_own: bool,
    /// How many requests a minute each principal may send.
    pub requests_per_minute: PerMinute,
    /// How many requests a minute all its principals may send together.
    pub requests_per_minute_together: PerMinute,
}

impl Role {
    fn new(name: &str, permissions: &[Permission]) -> Self {
        Self {
            name: name.to_owned(),
            permissions: permissions.to_vec(),
            blocked_tools: Vec::new(),
            requires_approval: Vec::new(),
            may_approve_own: false,
            requests_per_minute: usual_requests(name),
            requests_per_minute_together: PerMinute::ANY,
        }
    }

    /// Whether it may not run this tool or executor.
    pub fn blocks(&self, tool: &str) -> bool {
        self.blocked_tools.iter().any(|pattern| pattern.matches(tool))
    }

    /// Whether it may run this tool or executor only when somebody approves it.
    pub fn needs_approval(&self, tool: &str) -> bool {
        self.requires_approval.iter().any(|pattern| pattern.matches(tool))
    }

    /// Reads the role of this name.
    pub(crate) fn read(
        reader: &mut Reader,
        path: &str,
        (name, place): (&str, Place),
        node: &Node,
    ) -> Option<Self> {
        if let Err(message) = check_name(name) {
            reader.fault(place, path, "invalid-value", message, "rename the role");
        }
        let section = reader.object(node, path, &KEYS)?;
        Some(Self {
            name: name.to_owned(),
            permissions: read_permissions(reader, &section),
            blocked_tools: read_patterns(reader, &section, "blocked_tools"),
            requires_approval: read_patterns(reader, &section, "requires_approval"),
            may_approve_own: reader.flag(&section, "may_approve_own"),
            requests_per_minute: PerMinute::read(reader, &section, REQUESTS)
                .unwrap_or_else(|| usual_requests(name)),
            requests_per_minute_together: PerMinute::read(reader, &section, REQUESTS_TOGETHER)
                .unwrap_or(PerMinute::ANY),
        })
    }
}

/// How many requests a minute a principal of this role may send when nothing is said.
fn usual_requests(role: &str) -> PerMinute {
    match role {
        ADMIN => PerMinute::ANY,
        "agent" => PerMinute::AGENT,
        "readonly" => PerMinute::READONLY,
        _ => PerMinute::default(),
    }
}

fn read_permissions(reader: &mut Reader, section: &Section<'_>) -> Vec<Permission> {
    const KEY: &str = "permissions";
    if section.get(KEY).is_some_and(|node| matches!(node.kind(), Kind::Text(all) if all == "*")) {
        return Permission::ALL.to_vec();
    }
    let mut permissions = Vec::new();
    for (item, text) in reader.texts(section, KEY) {
        if let Some(known) = Permission::ALL.into_iter().find(|known| known.name() == text) {
            permissions.push(known);
            continue;
        }
        let names = Permission::ALL.map(Permission::name);
        let fix = match nearest(text, names, LIKENESS_MIN) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known here: {}", names.join(", ")),
        };
        let message = format!("has `{text}`, which is no permission");
        reader.fault(item.place(), section.path(KEY), "invalid-value", message, fix);
    }
    permissions
}

fn read_patterns(reader: &mut Reader, section: &Section<'_>, key: &str) -> Vec<ToolPattern> {
    let mut patterns = Vec::new();
    for (item, text) in reader.texts(section, key) {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(message) => reader.invalid(item, &section.path(key), message),
        }
    }
    patterns
}

/// Tools and executors by name: one, or all whose names begin in one way (`net_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolPattern {
    /// The one of this name.
    Name(String),
    /// Those whose names begin so.
    Prefix(String),
}

impl ToolPattern {
    /// Whether it means this tool or executor.
    pub fn matches(&self, tool: &str) -> bool {
        match self {
            Self::Name(name) => tool == name,
            Self::Prefix(prefix) => tool.starts_with(prefix.as_str()),
        }
    }
}

impl FromStr for ToolPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_prefix = text.strip_suffix('*');
        let name = of_prefix.unwrap_or(text);
        let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(is_name_character);
        match of_prefix {
            Some(prefix) if is_plain || prefix.is_empty() => Ok(Self::Prefix(prefix.to_owned())),
            None if is_plain => Ok(Self::Name(name.to_owned())),
            Some(_) | None => Err(format!(
                "has `{text}`, but must name tools or executors: lower case letters, digits, `_` \
                 and `-`, and at most one `*`, at the end"
            )),
        }
    }
}

impl fmt::Display for ToolPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Prefix(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

impl Serialize for ToolPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The roles of a host, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeMap<String, Role>);

impl Roles {
    /// Those that every host has: `admin`, `agent`, `user` and `readonly`.
    pub fn shipped() -> Self {
        use Permission::{JobsRead, JobsSubmit, PluginsRead};
        let admin = Role { may_approve_own: true, ..Role::new(ADMIN, &Permission::ALL) };
        Self(BTreeMap::new()).with([
            admin,
            Role::new("agent", &[JobsSubmit, JobsRead, PluginsRead]),
            Role::new("user", &[JobsSubmit, JobsRead, PluginsRead]),
            Role::new("readonly", &[JobsRead, PluginsRead]),
        ])
    }

    /// The same roles, with these in the place of those that had their names.
    #[must_use]
    pub fn with(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.0.extend(roles.into_iter().map(|role| (role.name.clone(), role)));
        self
    }

    /// The role of this name.
    pub fn find(&self, name: &str) -> Option<&Role> {
        self.0.get(name)
    }

    /// Every role, by name.
    pub fn all(&self) -> impl Iterator<Item = &Role> {
        self.0.values()
    }

    /// Who calls by this name in this role. None when there is no such role.
    pub fn principal(&self, name: &str, role: &str) -> Option<Principal> {
        let role = self.find(role)?;
        let permissions = role.permissions.clone();
        Some(Principal { name: name.to_owned(), role: role.name.clone(), permissions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_only_reads_cannot_submit() {
        let reader = Roles::shipped().principal("ann", "readonly").unwrap();
        assert!(reader.may(Permission::JobsRead));
        assert!(!reader.may(Permission::JobsSubmit));
    }

    #[test]
    fn an_unknown_role_is_nobody() {
        assert_eq!(Roles::shipped().principal("ann", "owner"), None);
    }

    #[test]
    fn only_admins_of_the_shipped_roles_see_the_jobs_of_others() {
        for role in Roles::shipped().all() {
            let manages = role.permissions.contains(&Permission::JobsManage);
            assert_eq!(manages, role.name == ADMIN, "{}", role.name);
        }
    }

    #[test]
    fn a_pattern_means_a_name_or_a_beginning() {
        let pattern = |text: &str| text.parse::<ToolPattern>();
        assert!(pattern("crypt").unwrap().matches("crypt"));
        assert!(!pattern("crypt").unwrap().matches("crypto"));
        assert!(pattern("net_*").unwrap().matches("net_scan"));
        assert!(!pattern("net_*").unwrap().matches("internet_scan"));
        assert!(pattern("*").unwrap().matches("anything"));
        for text in ["", "a*b", "**", "*a", "A", "a b", "1a", "-*"] {
            assert!(pattern(text).is_err(), "{text}");
        }
        for text in ["crypt", "net_*", "*"] {
            assert_eq!(pattern(text).unwrap().to_string(), text);
        }
    }
}
