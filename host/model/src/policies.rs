//! `policies.yaml`: what the roles of a host may do, and what happens when budgets run low.
//!
//! It reads no file: who does hands in its text, and puts what it says in force.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;

use crate::cost_policy::CostPolicy;
use crate::cost_section;
use crate::rate::{self, RateLimits};
use crate::reader::{self, FileFault, Reader};
use crate::role::{self, Role, Roles};
use crate::schema::{self, Key, Shape};
use crate::yaml::{Kind, Node};

/// The keys of the file: a section a line.
static TOP: [Key; 3] = [
    Key::new(
        "roles",
        Shape::Named(&Shape::Section(&role::KEYS)),
        "The roles by name. One that is named here takes the place of the shipped one of its name.",
    ),
    Key::new(
        "rate_limits",
        Shape::Section(&rate::KEYS),
        "How often something may be done, whoever does it.",
    ),
    Key::new(
        "cost_policies",
        Shape::Named(&Shape::Section(&cost_section::KEYS)),
        "What happens on the way to the cap of a budget: policies by name.",
    ),
];

/// A `policies.yaml` that holds no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// What those may do who act in each role.
    pub roles: Arc<Roles>,
    /// How often something may be done, whoever does it.
    pub rates: RateLimits,
    /// What happens on the way to the cap of a budget.
    pub cost_policies: Vec<CostPolicy>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            roles: Arc::new(Roles::shipped()),
            rates: RateLimits::default(),
            cost_policies: Vec::new(),
        }
    }
}

impl Policies {
    /// Reads the text of a `policies.yaml`. What it leaves out is as it is shipped.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, in its order.
    pub fn parse(text: &str) -> Result<Self, Vec<FileFault>> {
        reader::parse(text, read)
    }

    /// The JSON Schema (2020-12) of a `policies.yaml`. What it accepts may still be refused by
    /// [`parse`](Self::parse), for what a schema cannot say; what it refuses always is.
    pub fn schema() -> Value {
        schema::of_file(
            "policies",
            "What the roles of a host may do, and what happens when budgets run low.",
            &TOP,
        )
    }
}

fn read(reader: &mut Reader, node: &Node) -> Option<Policies> {
    // Nothing but comments, perhaps.
    if matches!(node.kind(), Kind::Null) {
        return Some(Policies::default());
    }
    let top = reader.object(node, "", &TOP)?;
    let roles = top.get("roles").map(|node| read_roles(reader, node)).unwrap_or_default();
    let rates = top.get("rate_limits").and_then(|node| RateLimits::read(reader, node));
    let roles = Arc::new(Roles::shipped().with(roles));
    let costs = top.get("cost_policies").map(|node| cost_section::read(reader, node));
    let cost_policies = costs.unwrap_or_default();
    Some(Policies { roles, rates: rates.unwrap_or_default(), cost_policies })
}

fn read_roles(reader: &mut Reader, node: &Node) -> Vec<Role> {
    let named = reader.named(node, "roles");
    let read =
        |(name, place, node)| Role::read(reader, &format!("roles.{name}"), (name, place), node);
    named.into_iter().filter_map(read).collect()
}

/// The policies that are in force, for all who ask, and what is wrong with newer ones.
#[derive(Debug, Default)]
pub struct CurrentPolicies(RwLock<Current>);

#[derive(Debug, Default)]
struct Current {
    policies: Arc<Policies>,
    troubles: Vec<String>,
}

impl CurrentPolicies {
    /// Puts these in force.
    pub fn new(policies: Policies) -> Self {
        Self(RwLock::new(Current { policies: Arc::new(policies), troubles: Vec::new() }))
    }

    /// Those in force at this moment.
    pub fn get(&self) -> Arc<Policies> {
        Arc::clone(&self.read().policies)
    }

    /// Puts newer ones in force.
    pub fn replace(&self, policies: Policies) {
        let current = Current { policies: Arc::new(policies), troubles: Vec::new() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Takes note of why newer ones were refused: those in force stay. Each trouble is a sentence.
    pub fn refuse(&self, troubles: Vec<String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).troubles = troubles;
    }

    /// Why newer ones were refused. Empty when those in force are the newest.
    pub fn troubles(&self) -> Vec<String> {
        self.read().troubles.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Permission;

    const GOOD: &str = "\
# Whoever writes here decides.
roles:
  agent:
    permissions: [jobs-submit, jobs-read]
    blocked_tools: [shodan, \"net_*\"]
    requires_approval: [crypt]
  auditor:
    permissions: [jobs-read, jobs-manage, audit-read]
  root: { permissions: \"*\", may_approve_own: true }
";

    #[test]
    fn a_role_of_the_file_takes_the_place_of_the_shipped_one() {
        let Policies { roles, .. } = Policies::parse(GOOD).unwrap();
        let agent = roles.find("agent").unwrap();
        assert_eq!(agent.permissions, [Permission::JobsSubmit, Permission::JobsRead]);
        assert!(agent.blocks("shodan") && agent.blocks("net_scan") && !agent.blocks("dns"));
        assert!(agent.needs_approval("crypt") && !agent.may_approve_own);
        assert_eq!(roles.find("root").unwrap().permissions, Permission::ALL);
        assert_eq!(roles.find("user"), Roles::shipped().find("user"));
        let names: Vec<_> = roles.all().map(|role| role.name.as_str()).collect();
        assert_eq!(names, ["admin", "agent", "auditor", "readonly", "root", "user"]);
    }

    #[test]
    fn limits_are_read_from_the_policies_with_the_place_of_every_fault() {
        let policies = "\
roles:
  user: { permissions: [jobs-read], requests_per_minute: 5, requests_per_minute_together: 50 }
  agent: { permissions: [jobs-read] }
rate_limits:
  per_tool: { websearch: 30, shodan: 0 }
";
        assert!(!Policies::parse("rate_limits: { enabled: false }").unwrap().rates.enabled);
        let Policies { roles, rates, .. } = Policies::parse(policies).unwrap();
        assert!(rates.enabled);
        let limits = |name: &str| {
            let role = roles.find(name).unwrap();
            (role.requests_per_minute.limit(), role.requests_per_minute_together.limit())
        };
        assert_eq!((limits("user"), limits("agent")), ((Some(5), Some(50)), (Some(120), None)));
        assert_eq!((limits("admin"), limits("readonly")), ((None, None), (Some(30), None)));
        let tools: Vec<_> =
            rates.per_tool.iter().map(|(tool, limit)| (tool.as_str(), limit.limit())).collect();
        assert_eq!(tools, [("shodan", None), ("websearch", Some(30))]);

        let wrong = "\
roles:
  user: { permissions: [], requests_per_minute: 1000001 }
rate_limits:
  per_tool: { websearch: many, dns: -1 }
  per_user: 3
";
        let faults = Policies::parse(wrong).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [2, 4, 4, 5], "{faults:#?}");
    }

    #[test]
    fn a_file_that_says_nothing_leaves_the_shipped_roles() {
        for text in ["", "# nothing\n", "roles:\n", "roles: {}\n"] {
            assert_eq!(Policies::parse(text), Ok(Policies::default()), "{text}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let text = "\
roles:
  agent:
    permissions: [jobs-sumbit, fly]
    blocked_tools: [a*b]
    colour: red
  Boss: { permissions: all }
  idle: {}
rolls: {}
";
        let faults = Policies::parse(text).unwrap_err();
        let told: Vec<_> =
            faults.iter().map(|fault| (fault.line, fault.column, fault.code)).collect();
        let expected = [
            (3, 19, "invalid-value"),
            (3, 32, "invalid-value"),
            (4, 21, "invalid-value"),
            (5, 5, "unknown-field"),
            (6, 3, "invalid-value"),
            (6, 24, "wrong-type"),
            (7, 9, "missing-field"),
            (8, 1, "unknown-field"),
        ];
        assert_eq!(told, expected, "{faults:#?}");
        assert_eq!(faults[0].fix, "did you mean `jobs-submit`?");
        assert!(faults[1].fix.starts_with("known here: jobs-submit, "), "{}", faults[1].fix);
    }

    #[test]
    fn newer_policies_that_are_refused_leave_the_old_ones_in_force() {
        let current = CurrentPolicies::new(Policies::parse(GOOD).unwrap());
        current.refuse(vec!["no".to_owned()]);
        assert!(current.get().roles.find("auditor").is_some());
        assert_eq!(current.troubles(), ["no"]);
        current.replace(Policies::default());
        assert!(current.get().roles.find("auditor").is_none() && current.troubles().is_empty());
    }
}
