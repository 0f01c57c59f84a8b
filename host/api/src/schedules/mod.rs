//! Verbs on schedules.

mod list;
mod pause;
mod put;
mod remove;
mod resume;
mod show;
mod trigger;

use apflow_model::access::{Permission, Principal};

pub use list::{ListSchedules, ScheduleList};
pub use pause::PauseSchedule;
pub use put::PutSchedule;
pub use remove::RemoveSchedule;
pub use resume::ResumeSchedule;
pub use show::{ShowSchedule, ShownSchedule};
pub use trigger::TriggerSchedule;

/// Whose schedules a caller sees and changes: its own, or everybody's, which is none in particular.
fn owner(caller: &Principal) -> Option<&str> {
    (!caller.may(Permission::SchedulesManage)).then_some(caller.name.as_str())
}
