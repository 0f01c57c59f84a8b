//! The import `wasi:filesystem/preopens`, watched: which folders there are is asked before any file
//! is opened.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::Descriptor;

use crate::egress::Refusal;
use crate::state::State;

impl preopens::Host for State {
    /// Lists the mounted folders, and notes it as a denial when there is none to be had: a guest
    /// asks for this list when it is about to open a file. Some C libraries also do when they close
    /// a socket, so what was refused before this stays the news.
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let directories = self.watched().directories()?;
        let is_news = matches!(self.egress.ledger.refusal(), Refusal::None);
        if directories.is_empty() && is_news {
            self.egress.deny(&format!(
                "`{}` reads files, and no folder was granted: allow one with `--grant \
                 fs.in=PATH`",
                self.scope.plugin
            ));
        }
        Ok(directories)
    }
}
