//! Verbs on plugins.

mod grant;
mod list;
mod load;
mod release;
mod remove;
mod said;
mod show;
mod upload;
mod verify;

pub use grant::GrantPlugin;
pub use list::{ListPlugins, PluginList};
pub use load::{LoadPlugin, LoadedPlugin};
pub use release::ReleasePlugin;
pub use remove::RemovePlugin;
pub use said::SaidConsent;
pub use show::ShowPlugin;
pub use upload::{PluginForm, UploadPlugin};
pub use verify::VerifyPlugin;
