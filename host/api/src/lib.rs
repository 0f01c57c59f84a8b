//! The verbs: one type for each, and one table of them all.
//!
//! Whatever a door can do is an [`Operation`] here. No door checks permissions: [`Api::invoke`]
//! does.

mod api;
mod approvals;
mod audit;
mod body;
mod breakers;
mod budgets;
mod cache;
mod call;
mod caller;
mod code;
mod doctor;
mod error;
mod example;
mod files;
mod grants;
mod jobs;
mod operation;
mod page;
mod plugins;
mod policies;
mod remote;
mod run;
mod schedules;
mod schema;
mod table;
mod tasks;
mod tokens;
mod tools;
mod uploads;
mod usage;

pub use api::Api;
pub use approvals::{ApprovalList, ApproveTask, DenyTask, ListApprovals};
pub use audit::{AuditList, ExportAudit, ExportedAudit, ListAudit, VerifyAudit};
pub use body::Body;
pub use breakers::{BreakerList, ListBreakers, ResetAll, ResetBreaker, ResetBreakers, ResetOne};
pub use budgets::{BudgetList, ListBudgets, RemoveBudget, SetBudget, ShownBudget};
pub use cache::{ClearCache, Cleared, ListCache};
pub use call::Call;
pub use caller::{Caller, Stranger};
pub use code::{Code, pages};
pub use doctor::ExamineHost;
pub use error::ApiError;
pub use example::{Extent, example};
pub use files::{FileList, ListFiles, OpenFile, OpenedFile};
pub use jobs::{
    CancelAllJobs, CancelJob, CancelledJobs, DeleteJob, DeletedJob, EventList, FindJob, JobList,
    ListEvents, ListJobs, PurgeJob, PurgeJobs, PurgedJob, PurgedJobs, RetryJob, SubmitJob,
    SubmittedJob, WatchJob, WatchedJob,
};
pub use operation::Operation;
pub use page::Page;
pub use plugins::{
    GrantPlugin, ListPlugins, LoadPlugin, LoadedPlugin, PluginForm, PluginList, ReleasePlugin,
    RemovePlugin, SaidConsent, ShowPlugin, UploadPlugin, VerifyPlugin,
};
pub use policies::{
    ListPolicies, PolicyList, PolicySource, PutPolicy, RemovePolicy, ShowPolicy, ShownPolicy,
};
pub use remote::{Headers, Input, Method, Remote};
pub use run::{Ran, RanParallel, RanTask, RunParallel, RunTask};
pub use schedules::{
    ListSchedules, PauseSchedule, PutSchedule, RemoveSchedule, ResumeSchedule, ScheduleList,
    ShowSchedule, ShownSchedule, TriggerSchedule,
};
pub use schema::{Shape, answers, input};
pub use table::{Answer, Answering, Entry, TABLE};
pub use tasks::{
    CancelTask, CheckpointList, FindTask, ListCheckpoints, ListTasks, RetryTask, ShownCheckpoint,
    StateFilter, TaskList,
};
pub use tokens::{
    CreateToken, CreatedToken, ListTokens, RevokeJwt, RevokeToken, RevokedJwt, ShowToken,
    ShownToken, TokenList,
};
pub use tools::{CheckTool, ListTools, RunTool, ShowTool, ShownTool, ToolList};
pub use uploads::{
    DeleteUpload, DeletedUpload, ListUploads, OpenUpload, OpenedUpload, ShownUpload, UploadFile,
    UploadList, Uploaded,
};
pub use usage::{ReportUsage, UsageReport};

pub use apflow_engine::{
    Approval, Diagnosis, Events, Piece, SystemClock, Watch, WebhookCall, chain,
};
