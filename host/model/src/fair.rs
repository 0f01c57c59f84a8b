//! Which ready tasks run next: fair between principals, strict within one.
//!
//! Free places are divided one by one. Each goes to the principal that has the fewest running, what
//! it was just given included; among equals, to the one that waited longest for its last place. So
//! shares are as even as what waits allows (max-min fairness), and a crowd of tasks of one principal
//! delays a task of another by one turn of each principal, not by the crowd.
//!
//! Within a principal the most urgent task goes first, then the one with the earliest `run_at`, then
//! the oldest. A task that a limit holds back lets those behind it pass.
//!
//! It reads nothing: whoever uses it looks up what it [asks for](Division::advance).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::concurrency::{Concurrency, ConcurrencyKey};
use crate::id::TaskId;

/// The most principals whose last turns are remembered.
const TURNS_MAX: usize = 10_000;

/// What limits how many tasks may run at once, on all hosts of a database together.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// What the operator says.
    pub concurrency: Arc<Concurrency>,
    /// How many tasks of some executors may run now, if that is less: 0 for none.
    pub allowances: BTreeMap<String, u32>,
}

/// Tasks of one principal, one executor and one concurrency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub id: i64,
    /// Who submitted its tasks.
    pub principal: String,
    /// What runs them.
    pub executor: String,
    /// What else limits them.
    pub key: Option<ConcurrencyKey>,
    /// How many of its tasks are ready or, where that is asked, running: at least 1.
    pub tasks: u64,
}

/// What orders the ready tasks of a principal: the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// From 0 (urgent) to 3 (low).
    pub priority: u8,
    /// When it was due.
    pub run_at: Timestamp,
    /// The task.
    pub task: TaskId,
}

/// Remembers when each principal was last given a place.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    last: HashMap<String, u64>,
    count: u64,
}

impl Turns {
    fn of(&self, principal: &str) -> u64 {
        self.last.get(principal).copied().unwrap_or(0)
    }

    fn take(&mut self, principal: &str) -> u64 {
        self.count += 1;
        if let Some(last) = self.last.get_mut(principal) {
            *last = self.count;
        } else {
            if self.last.len() >= TURNS_MAX {
                // All are equal once more, and take turns from here.
                self.last.clear();
            }
            self.last.insert(principal.to_owned(), self.count);
        }
        self.count
    }
}

/// A division of free places that is under way.
#[derive(Debug)]
pub struct Division<'a> {
    free: u32,
    turns: &'a mut Turns,
    /// How many more tasks each limit lets run.
    rooms: Vec<u64>,
    principals: Vec<Share>,
    lanes: Vec<Queue>,
    places: HashMap<i64, usize>,
    /// The principals that may be given a place: first those that have the least, then those that
    /// waited longest for their last turn.
    order: BTreeSet<(u64, u64, usize)>,
    given: Vec<TaskId>,
}

/// What a principal has, and what waits for it.
#[derive(Debug)]
struct Share {
    name: String,
    has: u64,
    /// Its lanes whose next task is known, by that task.
    heads: BTreeSet<(Head, usize)>,
    /// Its lanes whose next task is not known.
    unknown: BTreeSet<usize>,
}

/// The ready tasks of a lane.
#[derive(Debug)]
struct Queue {
    id: i64,
    principal: usize,
    /// The rooms that it takes from.
    rooms: Vec<usize>,
    /// Its first tasks, in order, as far as they are known.
    heads: Vec<Head>,
    /// How many of them were given a place.
    given: usize,
    /// Whether it has no others.
    is_all: bool,
}

impl<'a> Division<'a> {
    /// Begins to divide `free` places among the lanes with `ready` tasks, beside what is `running`.
    ///
    /// No lane is in a list twice.
    pub fn new(
        free: u32,
        limits: &Limits,
        ready: &[Lane],
        running: &[Lane],
        turns: &'a mut Turns,
    ) -> Self {
        let (names, rooms) = rooms(limits, ready, running);
        let mut has = HashMap::<&str, u64>::new();
        for lane in running {
            *has.entry(&lane.principal).or_default() += lane.tasks;
        }
        let mut known = HashMap::<&str, usize>::new();
        let mut principals = Vec::<Share>::new();
        let mut lanes = Vec::with_capacity(ready.len());
        for (place, lane) in ready.iter().enumerate() {
            let principal = *known.entry(&lane.principal).or_insert_with(|| {
                let name = lane.principal.clone();
                let has = has.get(name.as_str()).copied().unwrap_or(0);
                let (heads, unknown) = (BTreeSet::new(), BTreeSet::new());
                principals.push(Share { name, has, heads, unknown });
                principals.len() - 1
            });
            principals[principal].unknown.insert(place);
            let rooms = limits_of(limits, lane).map(|(name, _)| names[&name]).collect();
            let heads = Vec::new();
            lanes.push(Queue { id: lane.id, principal, rooms, heads, given: 0, is_all: false });
        }
        let order = principals.iter().enumerate();
        let order = order.map(|(place, share)| (share.has, turns.of(&share.name), place)).collect();
        let places_of = lanes.iter().enumerate().map(|(place, lane)| (lane.id, place)).collect();
        Self { free, turns, rooms, principals, lanes, places: places_of, order, given: Vec::new() }
    }

    /// Gives as many places as it can, and answers the lanes whose next tasks it must
    /// [know](Division::know) before it gives another. None when it is done.
    pub fn advance(&mut self) -> Vec<i64> {
        while self.free > 0
            && let Some((_, _, principal)) = self.order.first().copied()
        {
            if self.asked_by(principal).next().is_some() {
                return self.ask();
            }
            self.order.pop_first();
            self.give(principal);
        }
        Vec::new()
    }

    /// Takes note of the first ready tasks of a lane, in order, and whether these `are_all`: else they
    /// are more than it was told before.
    pub fn know(&mut self, lane: i64, heads: Vec<Head>, are_all: bool) {
        let Some(place) = self.places.get(&lane).copied() else { return };
        let queue = &mut self.lanes[place];
        (queue.heads, queue.is_all) = (heads, are_all);
        self.principals[queue.principal].unknown.remove(&place);
        self.line_up(place);
    }

    /// How many places are left.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// The tasks that were given places, in the order in which they were.
    pub fn given(self) -> Vec<TaskId> {
        self.given
    }

    /// The lanes that the next principals in turn need to know, as many of them as there are places:
    /// so that all of it can be looked up at once.
    fn ask(&self) -> Vec<i64> {
        let next = self.order.iter().take(usize::try_from(self.free).unwrap_or(usize::MAX));
        let lanes = next.flat_map(|(_, _, principal)| self.asked_by(*principal));
        lanes.map(|lane| self.lanes[lane].id).collect()
    }

    /// The lanes of a principal that may hold its next task: not those that a limit holds back.
    fn asked_by(&self, principal: usize) -> impl Iterator<Item = usize> {
        self.principals[principal].unknown.iter().copied().filter(|lane| self.has_room(*lane))
    }

    /// Gives a place to the first task of a principal that no limit holds back, and puts the
    /// principal in line again. One that has no such task leaves the line: rooms only shrink.
    fn give(&mut self, principal: usize) {
        while let Some((head, lane)) = self.principals[principal].heads.pop_first() {
            if !self.has_room(lane) {
                continue;
            }
            self.free -= 1;
            self.given.push(head.task);
            for room in &self.lanes[lane].rooms {
                self.rooms[*room] -= 1;
            }
            self.lanes[lane].given += 1;
            self.line_up(lane);
            let share = &mut self.principals[principal];
            share.has += 1;
            self.order.insert((share.has, self.turns.take(&share.name), principal));
            return;
        }
    }

    /// Puts a lane where its next task belongs.
    fn line_up(&mut self, lane: usize) {
        let queue = &self.lanes[lane];
        let share = &mut self.principals[queue.principal];
        if let Some(head) = queue.heads.get(queue.given) {
            share.heads.insert((*head, lane));
        } else if !queue.is_all {
            share.unknown.insert(lane);
        }
    }

    fn has_room(&self, lane: usize) -> bool {
        self.lanes[lane].rooms.iter().all(|room| self.rooms[*room] > 0)
    }
}

/// What has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Limited<'a> {
    Principal(&'a str),
    Executor(&'a str),
    Key(&'a str, &'a str),
}

/// The limits that a lane has a part in.
fn limits_of<'a>(
    limits: &Limits,
    lane: &'a Lane,
) -> impl Iterator<Item = (Limited<'a>, u32)> + use<'a> {
    let (principal, executor) = (lane.principal.as_str(), lane.executor.as_str());
    let allowed = limits.allowances.get(executor).copied();
    let of_executor = limits.concurrency.of_executor(executor).into_iter().chain(allowed).min();
    let of_principal = limits.concurrency.of_principal(principal);
    let of_key = lane.key.as_ref().map(|key| (Limited::Key(principal, &key.key), key.max));
    [
        of_principal.map(|max| (Limited::Principal(principal), max)),
        of_executor.map(|max| (Limited::Executor(executor), max)),
        of_key,
    ]
    .into_iter()
    .flatten()
}

/// How many more tasks each limit lets run: the smallest where lanes differ, less what runs. And
/// where in the list each is.
fn rooms<'a>(
    limits: &Limits,
    ready: &'a [Lane],
    running: &'a [Lane],
) -> (HashMap<Limited<'a>, usize>, Vec<u64>) {
    let (mut names, mut rooms) = (HashMap::new(), Vec::<u64>::new());
    for (limited, max) in ready.iter().chain(running).flat_map(|lane| limits_of(limits, lane)) {
        let place = *names.entry(limited).or_insert_with(|| {
            rooms.push(u64::MAX);
            rooms.len() - 1
        });
        rooms[place] = rooms[place].min(max.into());
    }
    for lane in running {
        for (limited, _) in limits_of(limits, lane) {
            let room = &mut rooms[names[&limited]];
            *room = room.saturating_sub(lane.tasks);
        }
    }
    (names, rooms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A lane and its ready tasks, by their priorities; the id of a task says where it is.
    struct Waiting(Lane, Vec<u8>);

    impl Waiting {
        fn heads(&self, count: usize) -> Vec<Head> {
            let head = |(place, priority): (usize, &u8)| Head {
                priority: *priority,
                run_at: Timestamp::from_unix_ms(0),
                task: TaskId(self.0.id * 1_000 + i64::try_from(place).unwrap()),
            };
            let mut heads: Vec<_> = self.1.iter().enumerate().map(head).collect();
            heads.sort_unstable();
            heads.truncate(count);
            heads
        }
    }

    fn lane(id: i64, principal: &str, executor: &str, tasks: u64) -> Lane {
        let (principal, executor) = (principal.to_owned(), executor.to_owned());
        Lane { id, principal, executor, key: None, tasks }
    }

    fn waiting(id: i64, principal: &str, executor: &str, priorities: &[u8]) -> Waiting {
        let lane = lane(id, principal, executor, priorities.len() as u64);
        Waiting(lane, priorities.to_vec())
    }

    fn keyed(mut waiting: Waiting, key: &str, max: u32) -> Waiting {
        waiting.0.key = Some(ConcurrencyKey { key: key.to_owned(), max });
        waiting
    }

    /// Divides, and answers the lanes that were given places, in order. Of each lane, `depth` tasks
    /// are told first, and all when it is asked again.
    fn divide(
        (free, limits): (u32, &Limits),
        waiting: &[Waiting],
        running: &[Lane],
        turns: &mut Turns,
        depth: usize,
    ) -> Vec<TaskId> {
        let ready: Vec<_> = waiting.iter().map(|waiting| waiting.0.clone()).collect();
        let mut division = Division::new(free, limits, &ready, running, turns);
        let mut told = BTreeSet::new();
        loop {
            let asked = division.advance();
            if asked.is_empty() {
                return division.given();
            }
            for id in asked {
                let waiting = waiting.iter().find(|waiting| waiting.0.id == id).unwrap();
                let depth = if told.insert(id) { depth } else { usize::MAX };
                division.know(id, waiting.heads(depth), depth >= waiting.1.len());
            }
        }
    }

    fn lanes(given: &[TaskId]) -> Vec<i64> {
        given.iter().map(|task| task.0 / 1_000).collect()
    }

    fn with<T>(
        free: u32,
        concurrency: &Concurrency,
        allowances: &[(&str, u32)],
        work: impl FnOnce((u32, &Limits)) -> T,
    ) -> T {
        let allowances = allowances.iter().map(|(name, max)| ((*name).to_owned(), *max)).collect();
        work((free, &Limits { concurrency: Arc::new(concurrency.clone()), allowances }))
    }

    fn free<T>(free: u32, work: impl FnOnce((u32, &Limits)) -> T) -> T {
        with(free, &Concurrency::default(), &[], work)
    }

    #[test]
    fn a_crowd_delays_another_principal_by_one_turn() {
        let waiting = [waiting(1, "crowd", "x", &[0; 100]), waiting(2, "ada", "x", &[3; 2])];
        let given = free(5, |places| divide(places, &waiting, &[], &mut Turns::default(), 9));
        assert_eq!(lanes(&given), [1, 2, 1, 2, 1]);
    }

    #[test]
    fn with_a_single_place_principals_take_turns() {
        let waiting = [waiting(1, "crowd", "x", &[0; 9]), waiting(2, "ada", "x", &[3; 9])];
        let mut turns = Turns::default();
        let turn = |_| free(1, |places| lanes(&divide(places, &waiting, &[], &mut turns, 9))[0]);
        assert_eq!((0..6).map(turn).collect::<Vec<_>>(), [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn what_runs_already_counts_towards_the_share() {
        let waiting = [waiting(1, "busy", "x", &[0; 9]), waiting(2, "idle", "x", &[3; 9])];
        let running = [lane(3, "busy", "y", 3)];
        let given = free(5, |places| divide(places, &waiting, &running, &mut Turns::default(), 2));
        assert_eq!(lanes(&given), [2, 2, 2, 1, 2]);
    }

    #[test]
    fn within_a_principal_the_most_urgent_goes_first_whatever_its_lane() {
        let waiting = [waiting(1, "ada", "x", &[2, 0, 3]), waiting(2, "ada", "y", &[1, 0, 2])];
        for depth in [1, 2, 9] {
            let given =
                free(5, |places| divide(places, &waiting, &[], &mut Turns::default(), depth));
            assert_eq!(
                given.iter().map(|task| task.0).collect::<Vec<_>>(),
                [1001, 2001, 2000, 1000, 2002]
            );
        }
    }

    #[test]
    fn a_task_that_a_limit_holds_back_lets_others_pass() {
        let limits = serde_json::json!({"executors": {"x": 2}, "principals": {"bob": 1}});
        let limits: Concurrency = serde_json::from_value(limits).unwrap();
        let waiting = [
            waiting(1, "ada", "x", &[0; 5]),
            waiting(2, "ada", "y", &[3; 2]),
            waiting(3, "bob", "y", &[0; 5]),
        ];
        let running = [lane(1, "ada", "x", 1)];
        let given = with(9, &limits, &[], |places| {
            divide(places, &waiting, &running, &mut Turns::default(), 9)
        });
        assert_eq!(lanes(&given), [3, 1, 2, 2]);
    }

    #[test]
    fn an_executor_without_an_allowance_is_left_out() {
        let waiting = [waiting(1, "ada", "x", &[0; 5]), waiting(2, "ada", "y", &[0; 5])];
        let given = with(9, &Concurrency::default(), &[("x", 0), ("y", 2)], |places| {
            divide(places, &waiting, &[], &mut Turns::default(), 9)
        });
        assert_eq!(lanes(&given), [2, 2]);
    }

    #[test]
    fn a_key_is_its_principals_own_and_its_smallest_limit_counts() {
        let waiting = [
            keyed(waiting(1, "ada", "x", &[1; 5]), "crm", 3),
            keyed(waiting(2, "ada", "y", &[2; 5]), "crm", 2),
            keyed(waiting(3, "bob", "y", &[0; 5]), "crm", 4),
        ];
        let given = free(20, |places| divide(places, &waiting, &[], &mut Turns::default(), 9));
        assert_eq!(lanes(&given), [1, 3, 1, 3, 3, 3]);
    }

    prop_compose! {
        fn any_lane()(
            principal in 0..3_u8, executor in 0..3_u8, key in 0..3_u8, max in 1..4_u32,
            priorities in proptest::collection::vec(0..4_u8, 1..8),
        ) -> Waiting {
            let (principal, executor) = (format!("p{principal}"), format!("e{executor}"));
            let waiting = waiting(0, &principal, &executor, &priorities);
            if key == 0 { waiting } else { keyed(waiting, &format!("k{key}"), max) }
        }
    }

    impl std::fmt::Debug for Waiting {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "{:?} {:?}", self.0, self.1)
        }
    }

    /// Numbers the lanes.
    fn number(mut lanes: Vec<Waiting>) -> Vec<Waiting> {
        lanes.iter_mut().zip(1..).for_each(|(waiting, id)| waiting.0.id = id);
        lanes
    }

    proptest! {
        /// Against the same rules, applied task by task with everything known.
        #[test]
        fn no_limit_is_exceeded_no_place_is_wasted_and_shares_are_even(
            waiting in proptest::collection::vec(any_lane(), 1..8).prop_map(number),
            count in 0..30_u32, depth in 1..5_usize, of_executor in 1..6_u32, of_principal in 1..8_u32,
        ) {
            let limits = serde_json::json!(
                {"executors": {"e0": of_executor}, "principal": of_principal});
            let limits: Concurrency = serde_json::from_value(limits).unwrap();
            let given = with(count, &limits, &[("e1", 2)], |places| {
                let given = divide(places, &waiting, &[], &mut Turns::default(), depth);
                assert_eq!(given, expected(places, &waiting));
                given
            });
            let different: BTreeSet<_> = given.iter().collect();
            prop_assert_eq!(different.len(), given.len());
        }
    }

    /// The rules, applied task by task to all tasks at once: slow, and plain to see.
    fn expected((free, limits): (u32, &Limits), waiting: &[Waiting]) -> Vec<TaskId> {
        let mut tasks: Vec<(Head, &Lane)> = waiting
            .iter()
            .flat_map(|waiting| {
                waiting.heads(usize::MAX).into_iter().map(|head| (head, &waiting.0))
            })
            .collect();
        tasks.sort_by_key(|(head, lane)| (*head, lane.id));
        let mut running: Vec<&Lane> = Vec::new();
        let mut turns: Vec<&str> = Vec::new();
        let mut given = Vec::new();
        let of_key = |lane: &Lane| {
            let key = lane.key.as_ref().map(|key| key.key.clone());
            key.map(|key| (lane.principal.clone(), key))
        };
        while given.len() < free as usize {
            let fits = |lane: &Lane| {
                let running_with = |same: &dyn Fn(&Lane) -> bool| {
                    u32::try_from(running.iter().filter(|other| same(other)).count()).unwrap()
                };
                let executor = running_with(&|other| other.executor == lane.executor);
                let allowed = limits.allowances.get(&lane.executor).copied();
                let principal = running_with(&|other| other.principal == lane.principal);
                let key = running_with(&|other| of_key(other) == of_key(lane));
                let all = waiting.iter().map(|waiting| &waiting.0);
                let same_key = all.filter(|other| of_key(other) == of_key(lane));
                let key_max =
                    same_key.filter_map(|lane| lane.key.as_ref()).map(|key| key.max).min();
                limits.concurrency.of_executor(&lane.executor).is_none_or(|max| executor < max)
                    && allowed.is_none_or(|max| executor < max)
                    && limits
                        .concurrency
                        .of_principal(&lane.principal)
                        .is_none_or(|max| principal < max)
                    && key_max.is_none_or(|max| key < max)
            };
            let share = |lane: &Lane| {
                let has = running.iter().filter(|other| other.principal == lane.principal).count();
                let turn =
                    turns.iter().rposition(|name| *name == lane.principal).map(|turn| turn + 1);
                let first = waiting.iter().position(|other| other.0.principal == lane.principal);
                (has, turn.unwrap_or(0), first)
            };
            let fitting = tasks.iter().enumerate().filter(|(_, (_, lane))| fits(lane));
            let Some((place, _)) =
                fitting.min_by_key(|(_, (head, lane))| (share(lane), *head, lane.id))
            else {
                break;
            };
            let (head, lane) = tasks.remove(place);
            running.push(lane);
            turns.push(&lane.principal);
            given.push(head.task);
        }
        given
    }
}
