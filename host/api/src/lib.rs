//! The verbs: one type for each, and one table of them all.
//!
//! Whatever a door can do is an [`Operation`] here. No door checks permissions: [`Api::invoke`]
//! does.

mod api;
mod code;
mod doctor;
mod error;
mod files;
mod jobs;
mod operation;
mod plugins;
mod remote;
mod table;

pub use api::Api;
pub use code::{Code, pages};
pub use doctor::ExamineHost;
pub use error::ApiError;
pub use files::{FileList, ListFiles, OpenFile, OpenedFile, UploadFile};
pub use jobs::{
    CancelAllJobs, CancelJob, CancelledJobs, DeleteJob, DeletedJob, FindJob, JobList, ListJobs,
    PurgeJob, PurgeJobs, PurgedJob, PurgedJobs, ShowJobState, SubmitJob,
};
pub use operation::Operation;
pub use plugins::{
    GrantPlugin, ListPlugins, LoadPlugin, LoadedPlugin, PluginList, RemovePlugin, ShowPlugin,
};
pub use remote::{Input, Method, Remote};
pub use table::{Answering, Entry, TABLE};

pub use apflow_engine::{Approval, Diagnosis, Live, Piece, chain};
