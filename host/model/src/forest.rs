//! How the tasks of a job hang together: references, circles, order.
//!
//! Several roots are fine; a circle is not. All of it takes time linear in tasks and edges.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::capability::{Grant, InvalidGrant};
use crate::clock::Timestamp;
use crate::concurrency::ConcurrencyKey;
use crate::draft::{
    ALLOW_MAX, ATTEMPTS_MAX, NAME_BYTES_MAX, PRIORITY_LOWEST, RawDependency, RawTask,
    TIMEOUT_SECONDS_MAX,
};
use crate::job::{Dependency, SpecFault, TaskSpec};
use crate::{file, pointer, reference};

/// The most tasks that one may stand under, since trees are drawn from it.
const PARENTS_DEEP_MAX: usize = 32;

/// Checks raw tasks, none of which may end after `deadline`, and turns their references into places.
pub(crate) fn link(
    raws: Vec<RawTask>,
    deadline: Option<Timestamp>,
    path: &impl Fn(usize) -> String,
) -> Result<Vec<TaskSpec>, SpecFault> {
    let references = name_all(&raws, path)?;
    let places: HashMap<&str, usize> =
        references.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut tasks = Vec::with_capacity(raws.len());
    for (place, raw) in raws.into_iter().enumerate() {
        let links = Links { path: path(place), places: &places, deadline };
        tasks.push(links.check(references[place].clone(), raw)?);
    }
    if let Some(circle) = find_circle(tasks.len(), |task| {
        tasks[task].dependencies.iter().map(|dependency| dependency.task).collect()
    }) {
        return Err(circle_fault(&tasks, &circle, path, "dependencies", "waits for"));
    }
    if let Some(circle) = find_circle(tasks.len(), |task| tasks[task].parent.into_iter().collect())
    {
        return Err(circle_fault(&tasks, &circle, path, "parent_id", "is under"));
    }
    if let Some(task) = find_too_deep(tasks.len(), |task| tasks[task].parent) {
        let message = format!("is too deep: a task stands under at most {PARENTS_DEEP_MAX} others");
        return Err(SpecFault::new(format!("{}/parent_id", path(task)), message));
    }
    Ok(tasks)
}

/// Refuses a text that is longer than a name may be, or that not every database can store.
pub(crate) fn check_name(at: &str, text: Option<&str>) -> Result<(), SpecFault> {
    let Some(text) = text else { return Ok(()) };
    let bytes = text.len();
    if bytes > NAME_BYTES_MAX {
        let message = format!("has {bytes} bytes, but may have at most {NAME_BYTES_MAX}");
        return Err(SpecFault::new(at, message));
    }
    if text.contains('\0') {
        return Err(SpecFault::new(at, "holds a NUL character, which no name may hold"));
    }
    Ok(())
}

/// Gives every task its reference, made up as `task-1`, `task-2` … where the caller gave none.
fn name_all(raws: &[RawTask], path: &impl Fn(usize) -> String) -> Result<Vec<String>, SpecFault> {
    let mut taken = HashMap::new();
    for (place, raw) in raws.iter().enumerate() {
        let Some(id) = &raw.id else { continue };
        if id.is_empty() || id.len() > NAME_BYTES_MAX {
            let message =
                format!("an id has 1 to {NAME_BYTES_MAX} bytes, but this has {}", id.len());
            return Err(SpecFault::new(format!("{}/id", path(place)), message));
        }
        check_name(&format!("{}/id", path(place)), Some(id))?;
        if let Some(first) = taken.insert(id.as_str(), place) {
            let message = format!("`{id}` is also the id of {}", path(first));
            return Err(SpecFault::new(format!("{}/id", path(place)), message));
        }
    }
    let mut made_up =
        (1..).map(|n| format!("task-{n}")).filter(|id| !taken.contains_key(id.as_str()));
    let name = |raw: &RawTask| raw.id.clone().or_else(|| made_up.next()).unwrap_or_default();
    Ok(raws.iter().map(name).collect())
}

/// What the references of one task are looked up in.
struct Links<'a> {
    path: String,
    places: &'a HashMap<&'a str, usize>,
    /// The deadline of the job.
    deadline: Option<Timestamp>,
}

impl Links<'_> {
    /// The pointer of a field of the task.
    fn at(&self, field: &str) -> String {
        pointer::key(&self.path, field)
    }

    fn fault(&self, field: &str, message: impl Into<String>) -> SpecFault {
        SpecFault::new(self.at(field), message)
    }

    fn check(&self, reference: String, raw: RawTask) -> Result<TaskSpec, SpecFault> {
        check_name(&self.at("name"), raw.name.as_deref())?;
        check_name(&self.at("model"), raw.model.as_deref())?;
        check_name(&self.at("cost_policy"), raw.cost_policy.as_deref())?;
        let (executor, is_tool) = match (raw.executor, raw.tool) {
            (Some(executor), None) => (executor, false),
            (None, Some(tool)) => (tool, true),
            (Some(_), Some(_)) => {
                return Err(self.fault("tool", "a task has an `executor` or a `tool`, not both"));
            }
            (None, None) => {
                let message = "is missing: a task has an `executor` or a `tool`";
                return Err(self.fault("executor", message));
            }
        };
        if raw.priority > PRIORITY_LOWEST {
            let message =
                format!("is {}, but goes from 0 (urgent) to {PRIORITY_LOWEST} (low)", raw.priority);
            return Err(self.fault("priority", message));
        }
        if !(1..=ATTEMPTS_MAX).contains(&raw.max_attempts) {
            let message = format!("is {}, but goes from 1 to {ATTEMPTS_MAX}", raw.max_attempts);
            return Err(self.fault("max_attempts", message));
        }
        if let Some(message) = raw.backoff.fault() {
            return Err(self.fault("backoff", message));
        }
        if let Some((field, message)) = raw.concurrency.as_ref().and_then(ConcurrencyKey::fault) {
            return Err(SpecFault::new(pointer::key(&self.at("concurrency"), field), message));
        }
        let deadline = self.deadline(raw.deadline, raw.run_at)?;
        let parent = raw.parent_id.map(|id| self.place(self.at("parent_id"), &id)).transpose()?;
        let dependencies = self.dependencies(&raw.dependencies)?;
        self.check_inputs(&raw.inputs, &dependencies)?;
        Ok(TaskSpec {
            reference,
            name: raw.name,
            executor,
            is_tool,
            parent,
            dependencies,
            priority: raw.priority,
            timeout: raw.timeout_seconds.map(|seconds| self.timeout(seconds)).transpose()?,
            run_at: raw.run_at,
            deadline,
            concurrency: raw.concurrency,
            attempts_max: raw.max_attempts,
            backoff: raw.backoff,
            token_budget: raw.token_budget,
            cost_policy: raw.cost_policy,
            model: raw.model,
            allow: raw.allow.map(|texts| self.allow(&texts)).transpose()?,
            uses_cache: raw.cache,
            needs_approval: false,
            inputs: raw.inputs,
        })
    }

    /// What the task keeps of its grants: it can only narrow, so nobody needs to permit it.
    fn allow(&self, texts: &[String]) -> Result<Vec<Grant>, SpecFault> {
        if texts.len() > ALLOW_MAX {
            let message = format!("has {} grants, but may have at most {ALLOW_MAX}", texts.len());
            return Err(self.fault("allow", message));
        }
        let list = self.at("allow");
        let read = |(index, text): (usize, &String)| {
            text.parse().map_err(|error: InvalidGrant| {
                SpecFault::new(pointer::item(&list, index), error.to_string())
            })
        };
        texts.iter().enumerate().map(read).collect()
    }

    fn timeout(&self, seconds: f64) -> Result<Duration, SpecFault> {
        if seconds > 0.0 && seconds <= TIMEOUT_SECONDS_MAX {
            return Ok(Duration::from_secs_f64(seconds));
        }
        let message = format!("is {seconds}, but must be over 0 and at most {TIMEOUT_SECONDS_MAX}");
        Err(self.fault("timeout_seconds", message))
    }

    /// The earlier of the task's own deadline and its job's.
    fn deadline(
        &self,
        own: Option<Timestamp>,
        run_at: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, SpecFault> {
        let deadline = own.into_iter().chain(self.deadline).min();
        let (Some(deadline), Some(run_at)) = (deadline, run_at) else { return Ok(deadline) };
        if run_at < deadline {
            return Ok(Some(deadline));
        }
        if own.is_some() {
            let message = format!("is {deadline}, but must be after `run_at`, which is {run_at}");
            return Err(self.fault("deadline", message));
        }
        let message = format!("is {run_at}, but the `deadline` of the job is {deadline}");
        Err(self.fault("run_at", message))
    }

    fn place(&self, at: String, id: &str) -> Result<usize, SpecFault> {
        let unknown = || SpecFault::new(at, format!("no task of this job has the id `{id}`"));
        self.places.get(id).copied().ok_or_else(unknown)
    }

    fn dependencies(&self, raws: &[RawDependency]) -> Result<Vec<Dependency>, SpecFault> {
        let list = self.at("dependencies");
        let mut seen = HashSet::with_capacity(raws.len());
        let mut dependencies = Vec::with_capacity(raws.len());
        for (index, raw) in raws.iter().enumerate() {
            let at = pointer::item(&list, index);
            let task = self.place(at.clone(), &raw.id)?;
            if !seen.insert(task) {
                return Err(SpecFault::new(at, format!("`{}` is listed twice", raw.id)));
            }
            dependencies.push(Dependency { task, required: raw.required });
        }
        Ok(dependencies)
    }

    /// Every `$from` must name a dependency: otherwise its output may not be there in time.
    fn check_inputs(
        &self,
        inputs: &serde_json::Value,
        dependencies: &[Dependency],
    ) -> Result<(), SpecFault> {
        if !inputs.is_object() {
            return Err(self.fault("inputs", "must be an object"));
        }
        let root = self.at("inputs");
        let found = reference::find(inputs)
            .map_err(|fault| SpecFault::new(format!("{root}{}", fault.at), fault.reason))?;
        file::find(inputs)
            .map_err(|fault| SpecFault::new(format!("{root}{}", fault.at), fault.reason))?;
        let known: HashSet<_> = dependencies.iter().map(|dependency| dependency.task).collect();
        for reference in found {
            let at = pointer::key(&format!("{root}{}", reference.at), reference::FROM);
            let task = self.place(at.clone(), &reference.task)?;
            if !known.contains(&task) {
                let name = reference.task;
                let message = format!("`{name}` is not a dependency: add it to `dependencies`");
                return Err(SpecFault::new(at, message));
            }
        }
        Ok(())
    }
}

/// Finds a circle: places in which each leads to the next, and the last to the first.
fn find_circle(count: usize, next: impl Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    let mut is_done = vec![false; count];
    let mut is_on_path = vec![false; count];
    for start in 0..count {
        let mut path = vec![(start, next(start))];
        is_on_path[start] = true;
        while let Some((task, ahead)) = path.last_mut() {
            let Some(step) = ahead.pop().filter(|_| !is_done[*task]) else {
                is_done[*task] = true;
                is_on_path[*task] = false;
                path.pop();
                continue;
            };
            if is_on_path[step] {
                let circle = path.iter().map(|(task, _)| *task);
                return Some(circle.skip_while(|task| *task != step).collect());
            }
            if !is_done[step] {
                is_on_path[step] = true;
                path.push((step, next(step)));
            }
        }
    }
    None
}

/// Finds a task that stands under more than [`PARENTS_DEEP_MAX`] others. No parents form a circle.
fn find_too_deep(count: usize, parent: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    let mut depths: Vec<Option<usize>> = vec![None; count];
    for start in 0..count {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(task) = next.filter(|task| depths[*task].is_none()) {
            path.push(task);
            next = parent(task);
        }
        let first = next.and_then(|task| depths[task]).map_or(0, |above| above + 1);
        for (depth, task) in (first..).zip(path.into_iter().rev()) {
            if depth > PARENTS_DEEP_MAX {
                return Some(task);
            }
            depths[task] = Some(depth);
        }
    }
    None
}

fn circle_fault(
    tasks: &[TaskSpec],
    circle: &[usize],
    path: &impl Fn(usize) -> String,
    field: &str,
    verb: &str,
) -> SpecFault {
    let first = circle.first().copied().unwrap_or_default();
    let names: Vec<_> =
        circle.iter().chain([&first]).map(|task| format!("`{}`", tasks[*task].reference)).collect();
    let message = format!("goes in a circle: {}", names.join(&format!(" {verb} ")));
    SpecFault::new(format!("{}/{field}", path(first)), message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::ALLOW_MAX;
    use crate::job::JobSpec;

    fn fault(value: Value) -> (String, String) {
        let fault = JobSpec::parse(value).unwrap_err();
        (fault.path, fault.message)
    }

    fn task(id: &str, dependencies: &[&str]) -> Value {
        json!({"id": id, "executor": "noop_executor", "dependencies": dependencies})
    }

    #[test]
    fn a_name_with_a_nul_character_is_refused_with_its_place() {
        for (field, path) in [("id", "/tasks/0/id"), ("name", "/tasks/0/name")] {
            let job = json!({"tasks": [{"executor": "x", field: "a\0b"}]});
            let refused = JobSpec::parse(job).unwrap_err().to_string();
            assert!(refused.contains(path) && refused.contains("NUL"), "{refused}");
        }
        let named = JobSpec::parse(json!({"name": "\0", "tasks": [{"executor": "x"}]}));
        assert!(named.unwrap_err().to_string().contains("/name"));
    }

    #[test]
    fn one_task_may_stand_at_the_top() {
        let spec = JobSpec::parse(json!({"executor": "noop_executor", "name": "one"})).unwrap();
        assert_eq!((spec.name.as_deref(), spec.tasks.len()), (Some("one"), 1));
        assert_eq!(spec.tasks[0].reference, "task-1");
    }

    #[test]
    fn the_earlier_deadline_of_task_and_job_counts() {
        let [early, late] = ["2030-01-01T00:00:00.000Z", "2031-01-01T00:00:00.000Z"];
        let job = json!({"deadline": late, "tasks": [
            {"executor": "x"}, {"executor": "x", "deadline": early},
            {"executor": "x", "deadline": "2040-01-01T00:00:00Z", "run_at": early},
        ]});
        let tasks = JobSpec::parse(job).unwrap().tasks;
        let deadlines = tasks.iter().map(|task| task.deadline.unwrap().to_string());
        assert_eq!(deadlines.collect::<Vec<_>>(), [late, early, late]);
        let alone = JobSpec::parse(json!({"executor": "x", "deadline": early})).unwrap();
        assert_eq!(alone.tasks[0].deadline.unwrap().to_string(), early);
    }

    #[test]
    fn a_task_that_could_only_start_after_its_deadline_is_refused_with_its_place() {
        let moment = "2030-01-01T00:00:00Z";
        let (path, message) = fault(json!({"executor": "x", "run_at": moment, "deadline": moment}));
        assert_eq!((path.as_str(), message.contains("after `run_at`")), ("/deadline", true));
        let (path, message) =
            fault(json!({"deadline": moment, "tasks": [{"executor": "x", "run_at": moment}]}));
        assert_eq!(path, "/tasks/0/run_at");
        assert!(message.contains("`deadline` of the job"), "{message}");
    }

    #[test]
    fn a_forest_is_linked_by_places() {
        let spec = JobSpec::parse(json!({"tasks": [
            task("b", &["a"]), task("a", &[]),
            {"executor": "x", "parent_id": "a", "dependencies": [{"id": "b", "required": false}]}
        ]}))
        .unwrap();
        assert_eq!(spec.tasks[0].dependencies[0].task, 1);
        assert_eq!(spec.tasks[2].parent, Some(1));
        assert!(!spec.tasks[2].dependencies[0].required);
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_place() {
        let (path, message) = fault(json!({"tasks": [{"executor": "x", "timeout": 3}]}));
        assert_eq!(path, "/tasks/0/timeout");
        assert!(message.contains("unknown field `timeout`"), "{message}");
    }

    #[test]
    fn a_reference_to_no_task_is_refused_with_its_place() {
        let (path, message) = fault(json!({"tasks": [task("a", &["ghost"])]}));
        assert_eq!((path.as_str(), message.contains("`ghost`")), ("/tasks/0/dependencies/0", true));
        let (path, _) = fault(json!({"tasks": [
            {"id": "a", "executor": "x", "inputs": {"n": {"$from": "ghost"}}}
        ]}));
        assert_eq!(path, "/tasks/0/inputs/n/$from");
    }

    #[test]
    fn a_from_must_name_a_dependency() {
        let (_, message) = fault(json!({"tasks": [
            task("a", &[]),
            {"id": "b", "executor": "x", "inputs": {"n": {"$from": "a"}}}
        ]}));
        assert!(message.contains("add it to `dependencies`"), "{message}");
    }

    #[test]
    fn a_circle_is_refused_and_named() {
        let (path, message) =
            fault(json!({"tasks": [task("a", &["c"]), task("b", &["a"]), task("c", &["b"])]}));
        assert!(path.ends_with("/dependencies"), "{path}");
        assert_eq!(message.matches("waits for").count(), 3, "{message}");
        let (path, _) = fault(json!({"tasks": [
            {"id": "a", "executor": "x", "parent_id": "b"},
            {"id": "b", "executor": "x", "parent_id": "a"}
        ]}));
        assert!(path.ends_with("/parent_id"), "{path}");
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        for (field, value, range) in [
            ("priority", json!(4), "0 (urgent) to 3"),
            ("max_attempts", json!(0), "1 to 100"),
            ("timeout_seconds", json!(-1), "at most 86400"),
            ("backoff", json!({"base_seconds": 1e9}), "0 to 86400"),
            ("inputs", json!([]), "an object"),
        ] {
            let (path, message) = fault(json!({"executor": "x", field: value}));
            assert_eq!(
                (path.as_str(), message.contains(range)),
                (&*format!("/{field}"), true),
                "{message}"
            );
        }
    }

    #[test]
    fn what_a_task_keeps_of_its_grants_is_read_with_its_places() {
        let allow = |allow: Value| JobSpec::parse(json!({"executor": "x", "allow": allow}));
        let kept = |spec: JobSpec| spec.tasks[0].allow.clone();
        let grants = vec!["env=LANG".parse().unwrap()];
        assert_eq!(kept(allow(json!(["env=LANG"])).unwrap()), Some(grants));
        assert_eq!(kept(allow(json!([])).unwrap()), Some(Vec::new()));
        assert_eq!(kept(JobSpec::parse(json!({"executor": "x"})).unwrap()), None);
        let (path, message) = fault(json!({"tasks": [
            {"executor": "x", "allow": ["env=LANG", "https://a.example"]}
        ]}));
        assert_eq!(path, "/tasks/0/allow/1");
        assert!(message.contains("KIND=VALUE"), "{message}");
        assert_eq!(allow(json!("env=LANG")).unwrap_err().path, "/allow");
        assert_eq!(allow(json!(vec!["env=A"; ALLOW_MAX + 1])).unwrap_err().path, "/allow");
    }

    #[test]
    fn repeated_ids_are_refused() {
        let (path, message) = fault(json!({"tasks": [task("a", &[]), task("a", &[])]}));
        assert_eq!((path.as_str(), message.contains("/tasks/0")), ("/tasks/1/id", true));
    }

    #[test]
    fn a_malformed_reference_is_named_once() {
        let inputs = json!({"a/b": [{"$from": 3}]});
        let (path, message) = fault(json!({"tasks": [{"executor": "x", "inputs": inputs}]}));
        assert_eq!(
            (path.as_str(), message.as_str()),
            ("/tasks/0/inputs/a~1b/0", "`$from` must name a task")
        );
    }

    #[test]
    fn a_long_name_is_refused_with_its_place() {
        for field in ["name", "model", "cost_policy"] {
            let job =
                |bytes: usize| json!({"tasks": [{"executor": "x", field: "é".repeat(bytes / 2)}]});
            assert!(JobSpec::parse(job(256)).is_ok());
            let (path, message) = fault(job(258));
            assert_eq!(path, format!("/tasks/0/{field}"));
            assert!(message.contains("258 bytes") && message.contains("at most 256"), "{message}");
        }
    }

    #[test]
    fn a_dependency_that_is_listed_twice_is_refused_with_its_place() {
        let (path, _) = fault(json!({"tasks": [task("a", &[]), task("b", &["a", "a"])]}));
        assert_eq!(path, "/tasks/1/dependencies/1");
    }

    #[test]
    fn a_tree_that_is_too_deep_to_draw_is_refused() {
        let tree = |deep: usize| {
            let task = |n: usize| match n {
                0 => json!({"id": "t0", "executor": "x"}),
                _ => {
                    json!({"id": format!("t{n}"), "executor": "x", "parent_id": format!("t{}", n - 1)})
                }
            };
            json!({"tasks": (0..=deep).rev().map(task).collect::<Vec<_>>()})
        };
        assert!(JobSpec::parse(tree(32)).is_ok());
        let (path, message) = fault(tree(33));
        assert_eq!(path, "/tasks/0/parent_id");
        assert!(message.contains("at most 32"), "{message}");
        assert_eq!(fault(tree(9_999)).0, format!("/tasks/{}/parent_id", 9_999 - 33));
    }

    #[test]
    fn a_task_may_wait_for_all_others_and_refer_to_each() {
        let mut tasks: Vec<Value> = (1..10_000).map(|n| task(&format!("t{n}"), &[])).collect();
        let names: Vec<String> = (1..10_000).map(|n| format!("t{n}")).collect();
        let inputs: Vec<Value> = names.iter().map(|name| json!({"$from": name})).collect();
        tasks.push(json!({"executor": "x", "dependencies": names, "inputs": {"all": inputs}}));
        let spec = JobSpec::parse(json!({"tasks": tasks})).unwrap();
        assert_eq!(spec.tasks[9_999].dependencies.len(), 9_999);
    }

    #[test]
    fn a_chain_of_thousands_is_linked_without_recursion() {
        let tasks: Vec<Value> = (0..9_999)
            .map(|n| {
                let dependencies: Vec<String> =
                    (n > 0).then(|| format!("t{}", n - 1)).into_iter().collect();
                json!({"id": format!("t{n}"), "executor": "x", "dependencies": dependencies})
            })
            .collect();
        assert_eq!(JobSpec::parse(json!({"tasks": tasks})).unwrap().tasks.len(), 9_999);
    }

    proptest! {
        /// Edges that only lead back can never close a circle; adding one that leads from the
        /// first task to the last of a chain always does.
        #[test]
        fn only_circles_are_refused(edges in prop::collection::vec((1_usize..20, 0_usize..20), 0..40)) {
            let mut dependencies = vec![Vec::new(); 20];
            for (task, earlier) in edges {
                let name = format!("t{}", earlier % task);
                if !dependencies[task].contains(&name) {
                    dependencies[task].push(name);
                }
            }
            let build = |dependencies: &[Vec<String>]| {
                let tasks: Vec<Value> = dependencies
                    .iter()
                    .enumerate()
                    .map(|(n, names)| json!({"id": format!("t{n}"), "executor": "x", "dependencies": names}))
                    .collect();
                JobSpec::parse(json!({"tasks": tasks}))
            };
            prop_assert!(build(&dependencies).is_ok());
            if dependencies[19].contains(&"t0".to_owned()) {
                dependencies[0].push("t19".to_owned());
                prop_assert!(build(&dependencies).is_err());
            }
        }
    }
}
