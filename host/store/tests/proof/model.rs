//! What the store should do, as one pure move: [`step`].
//!
//! It knows tasks by the order in which they were submitted, and nothing of rows, sessions or ids.

use apflow_model::state::{Edge, JobState, TaskState};
use apflow_store::HOST_LOSSES_MAX;

/// A task that is to be submitted.
#[derive(Debug, Clone)]
pub(crate) struct NewTask {
    pub(crate) priority: u8,
    /// How long after its submission it may start.
    pub(crate) delay_ms: i64,
    pub(crate) attempts_max: u32,
    /// The tasks it waits for, by their place in the job, and whether it requires them.
    pub(crate) dependencies: Vec<(usize, bool)>,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    Complete,
    Fail,
    RetryAfter(i64),
}

/// A move. Tasks and jobs are chosen by a number, of those there are.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Submit(Vec<NewTask>),
    Claim(u32),
    /// The end of a running attempt.
    End(usize, Ending),
    /// The end of an attempt that was before the last.
    EndStale(usize),
    Save(usize),
    Cancel(usize),
    /// The host is gone, and another one takes up its work.
    Crash,
    Wait(i64),
}

/// What the store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    /// The tasks that were handed out with the numbers of their attempts, in order.
    Claimed(Vec<(usize, u32)>),
    /// The state after an end; None when the attempt had lost its task.
    Ended(Option<TaskState>),
    Saved(bool),
    /// Whether there was anything to cancel.
    Cancelled(bool),
    /// The tasks that are tried again, and those that failed.
    Recovered(Vec<usize>, Vec<usize>),
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) job: usize,
    pub(crate) state: TaskState,
    pub(crate) attempt: u32,
    pub(crate) is_cancelled: bool,
    pub(crate) checkpoints: u32,
    /// Every state it was in, in order, with the attempt that brought it there.
    pub(crate) history: Vec<(TaskState, u32)>,
    new: NewTask,
    /// The tasks it waits for, by their place among all.
    dependencies: Vec<(usize, bool)>,
    run_at: i64,
    host_losses: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) now: i64,
    pub(crate) tasks: Vec<Task>,
    pub(crate) jobs: usize,
}

/// Makes a move.
pub(crate) fn step(before: &State, op: &Op) -> (State, Answer) {
    let mut state = before.clone();
    let answer = match op {
        Op::Submit(tasks) => state.submit(tasks),
        Op::Claim(limit) => state.claim(*limit),
        Op::End(choice, ending) => state.end_running(*choice, *ending),
        Op::EndStale(choice) => state.end_stale(*choice),
        Op::Save(choice) => state.save(*choice),
        Op::Cancel(choice) => state.cancel(*choice),
        Op::Crash => state.crash(),
        Op::Wait(ms) => {
            state.now += ms;
            Answer::Nothing
        }
    };
    (state, answer)
}

impl State {
    /// The running task that a number chooses.
    pub(crate) fn running(&self, choice: usize) -> Option<usize> {
        let running = self.in_state(TaskState::Running);
        (!running.is_empty()).then(|| running[choice % running.len()])
    }

    /// The task, with more attempts than one, that a number chooses.
    pub(crate) fn retried(&self, choice: usize) -> Option<usize> {
        let again: Vec<_> = self.places(|task| task.attempt > 1).collect();
        (!again.is_empty()).then(|| again[choice % again.len()])
    }

    /// How a job stands.
    pub(crate) fn job_state(&self, job: usize) -> JobState {
        let places: Vec<_> = self.places(|task| task.job == job).collect();
        let states: Vec<_> = places.iter().map(|place| self.tasks[*place].state).collect();
        if states.iter().all(|state| state.is_end()) {
            let edges = places.iter().enumerate().flat_map(|(task, place)| {
                let edge = move |(dependency, required): &(usize, bool)| Edge {
                    task,
                    dependency: *dependency,
                    required: *required,
                };
                self.tasks[*place].new.dependencies.iter().map(edge)
            });
            return JobState::of_ended(&states, &edges.collect::<Vec<_>>());
        }
        let has_started = places.iter().any(|place| self.tasks[*place].attempt > 0);
        if has_started { JobState::Running } else { JobState::Pending }
    }

    fn places(&self, has: impl Fn(&Task) -> bool) -> impl Iterator<Item = usize> {
        let places = self.tasks.iter().enumerate().filter(move |(_, task)| has(task));
        places.map(|(place, _)| place)
    }

    fn in_state(&self, state: TaskState) -> Vec<usize> {
        self.places(|task| task.state == state).collect()
    }

    fn submit(&mut self, tasks: &[NewTask]) -> Answer {
        let (first, job) = (self.tasks.len(), self.jobs);
        self.jobs += 1;
        for new in tasks {
            let run_at = self.now + new.delay_ms;
            let state = if new.dependencies.is_empty() {
                if run_at > self.now { TaskState::Scheduled } else { TaskState::Ready }
            } else {
                TaskState::Blocked
            };
            self.tasks.push(Task {
                job,
                state,
                attempt: 0,
                is_cancelled: false,
                checkpoints: 0,
                history: vec![(state, 0)],
                dependencies: new
                    .dependencies
                    .iter()
                    .map(|(on, must)| (first + on, *must))
                    .collect(),
                new: new.clone(),
                run_at,
                host_losses: 0,
            });
        }
        Answer::Nothing
    }

    fn enter(&mut self, place: usize, state: TaskState, attempt: u32) {
        self.tasks[place].state = state;
        self.tasks[place].history.push((state, attempt));
    }

    fn claim(&mut self, limit: u32) -> Answer {
        for place in self.in_state(TaskState::Scheduled) {
            if self.tasks[place].run_at <= self.now {
                self.enter(place, TaskState::Ready, 0);
            }
        }
        let mut ready = self.in_state(TaskState::Ready);
        ready.sort_by_key(|place| {
            let task = &self.tasks[*place];
            (task.new.priority, task.run_at, *place)
        });
        ready.truncate(limit as usize);
        for place in &ready {
            self.tasks[*place].attempt += 1;
            let attempt = self.tasks[*place].attempt;
            self.enter(*place, TaskState::Running, attempt);
        }
        Answer::Claimed(ready.iter().map(|place| (*place, self.tasks[*place].attempt)).collect())
    }

    fn end_running(&mut self, choice: usize, ending: Ending) -> Answer {
        let Some(place) = self.running(choice) else { return Answer::Nothing };
        let state = self.end(place, ending);
        self.resolve(vec![place]);
        Answer::Ended(Some(state))
    }

    /// Ends an attempt, without what follows for others.
    fn end(&mut self, place: usize, ending: Ending) -> TaskState {
        let task = &mut self.tasks[place];
        let state = match ending {
            Ending::Complete => TaskState::Completed,
            _ if task.is_cancelled => TaskState::Cancelled,
            Ending::Fail => TaskState::Failed,
            Ending::RetryAfter(ms) => {
                task.run_at = self.now + ms;
                if ms > 0 { TaskState::Scheduled } else { TaskState::Ready }
            }
        };
        if state == TaskState::Completed {
            task.checkpoints = 0;
        }
        let attempt = task.attempt;
        self.enter(place, state, attempt);
        state
    }

    /// Moves whatever waited for the ended tasks, and for those that are skipped by that.
    fn resolve(&mut self, ended: Vec<usize>) {
        let mut front = ended;
        while let Some(ended) = front.pop() {
            if !self.tasks[ended].state.is_end() {
                continue;
            }
            for place in self.in_state(TaskState::Blocked) {
                let task = &self.tasks[place];
                let state_of = |on: usize| self.tasks[on].state;
                let is_lost = |(on, must): &(usize, bool)| {
                    *must && state_of(*on).is_end() && state_of(*on) != TaskState::Completed
                };
                if task.dependencies.iter().any(is_lost) {
                    self.enter(place, TaskState::Skipped, 0);
                    front.push(place);
                } else if task.dependencies.iter().all(|(on, _)| state_of(*on).is_end()) {
                    let is_later = task.run_at > self.now;
                    let state = if is_later { TaskState::Scheduled } else { TaskState::Ready };
                    self.enter(place, state, 0);
                }
            }
        }
    }

    fn end_stale(&mut self, choice: usize) -> Answer {
        match self.retried(choice) {
            Some(_) => Answer::Ended(None),
            None => Answer::Nothing,
        }
    }

    fn save(&mut self, choice: usize) -> Answer {
        let Some(place) = self.running(choice) else { return Answer::Nothing };
        self.tasks[place].checkpoints += 1;
        Answer::Saved(true)
    }

    fn cancel(&mut self, choice: usize) -> Answer {
        if self.jobs == 0 {
            return Answer::Nothing;
        }
        let job = choice % self.jobs;
        let open: Vec<_> = self
            .places(|task| task.job == job && !task.state.is_end() && !task.is_cancelled)
            .collect();
        for place in &open {
            self.tasks[*place].is_cancelled = true;
            if self.tasks[*place].state != TaskState::Running {
                self.enter(*place, TaskState::Cancelled, 0);
            }
        }
        Answer::Cancelled(!open.is_empty())
    }

    fn crash(&mut self) -> Answer {
        let (mut retried, mut failed) = (Vec::new(), Vec::new());
        let lost = self.in_state(TaskState::Running);
        for place in &lost {
            let task = &mut self.tasks[*place];
            task.host_losses += 1;
            let is_over = task.host_losses >= HOST_LOSSES_MAX
                || task.attempt >= task.new.attempts_max
                || task.is_cancelled;
            let ending = if is_over { Ending::Fail } else { Ending::RetryAfter(0) };
            self.end(*place, ending);
            if is_over { failed.push(*place) } else { retried.push(*place) }
        }
        self.resolve(lost);
        Answer::Recovered(retried, failed)
    }
}
