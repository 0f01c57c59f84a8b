//! The engine: what happens to a task, from its submission to its end.
//!
//! It decides with the pure rules of `apflow-model`, keeps everything in `apflow-store` and runs
//! guests in `apflow-sandbox`. It knows no door. Whether a caller may do a verb, the verbs check; whose
//! jobs it sees, and which tools its role may run, is looked up here.
//!
//! The path of a task is [`Engine::submit`], then dispatch, one attempt or several, and for each a
//! settlement; [`Engine::watch`] tells who watches.

mod approvals;
mod attempt;
mod audit;
mod background;
mod breakers;
mod budget;
mod budgets;
mod builtin;
mod cache;
mod cancel;
mod clock;
mod components;
mod consents;
mod cost;
mod cost_policies;
mod dispatch;
mod doctor;
mod draft;
mod drain;
mod eager;
mod engine;
mod error;
mod fallback;
mod files;
mod grants;
mod health;
mod hub;
mod left;
mod limits;
mod live;
mod load;
mod lock;
mod looks;
mod metrics;
mod newcomers;
mod notifications;
mod open_call;
mod places;
mod plugins;
mod port;
mod purse;
mod quarantine;
mod rates;
mod redrive;
mod registry;
mod remembered;
mod retention;
mod roles;
mod room;
mod schedules;
mod schema;
mod sessions;
mod settle;
mod stage;
mod start;
mod stock;
mod streams;
mod submit;
mod tail;
mod tasks;
mod tokens;
mod tools;
mod unstored;
mod upload;
mod usage;
mod verify;
mod visible;
mod wait;
mod watch;
mod webhook;
mod window;
mod workplace;
mod written;

pub use audit::Export;
pub use breakers::{Breakers, ListedBreaker};
pub use builtin::Builtin;
pub use clock::SystemClock;
pub use components::Components;
pub use consents::Consents;
pub use cost_policies::ListedPolicy;
pub use doctor::Diagnosis;
pub use engine::{DataDir, Engine, Settings};
pub use error::{EngineError, chain};
pub use files::Files;
pub use grants::Approval;
pub use left::Content;
pub use live::Live;
pub use load::{LoadPlugin, Loaded};
pub use lock::DispatchLock;
pub use redrive::Again;
pub use schedules::PutSchedule;
pub use submit::{NewSubmission, Submission};
pub use upload::{FILES_PER_UPLOAD_MAX, NewFiles, Piece, UploadContent};
pub use watch::{EventPage, Watch};
pub use webhook::{Post, Posting, WebhookCall};
pub use window::Events;
pub use written::Written;

pub use apflow_store::{
    APPROVALS_PER_PAGE_MAX, ApprovalPage, AuditFilter, AuditPage, CHECKPOINTS_PER_PAGE_MAX,
    FilePage, JobFilter, KeptPolicy, NewBudget, PastCheckpoint, RESULTS_PER_PAGE_MAX, SchedulePage,
    TOKENS_PER_PAGE_MAX, TaskFilter, TokenPage, UploadPage, UsageFilter, UsagePage,
    VALUES_PER_PAGE_MAX,
};
