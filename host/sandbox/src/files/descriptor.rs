//! The import `wasi:filesystem/types` for plugins that write files: `wasmtime-wasi` does what is
//! asked, and this pays for it first.
//!
//! Links of both kinds are refused: a folder that may be written to holds files and folders, and
//! nothing that points elsewhere.

use std::sync::Arc;

use apflow_model::limit::Breach;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::quota::{Identity, Place};
use super::stream::FileStream;
use super::watch::{Books, Held, OpenFile, Over, Watch};

/// How many folders may stand in each other below `/out` or `/scratch`. Whoever removes them goes
/// through all of them at once.
const DEPTH_MAX: u32 = 32;

type Handle = Resource<Descriptor>;

/// Links [`WatchedView`] with the interface.
pub(crate) struct Watched;

impl HasData for Watched {
    type Data<'a> = WatchedView<'a>;
}

/// The files of an attempt, as the guest reaches them. Without a watch, nothing can be written to.
pub(crate) struct WatchedView<'a> {
    pub(crate) wasi: WasiFilesystemCtxView<'a>,
    pub(crate) watch: Option<&'a mut Watch>,
}

/// A folder that may be written to.
struct Folder {
    books: Arc<Books>,
    place: Place,
    depth: u32,
}

/// What is found under a path.
struct Found {
    identity: Identity,
    bytes: u64,
    is_folder: bool,
}

impl WatchedView<'_> {
    /// Opens the folders of the attempt, each with the path that it is mounted at.
    pub(crate) fn directories(&mut self) -> wasmtime::Result<Vec<(Handle, String)>> {
        let folders = preopens::Host::get_directories(&mut self.wasi)?;
        for (folder, path) in &folders {
            if let Some(place) = Place::at(path) {
                self.hold(folder, Held::Folder(place, 0));
            }
        }
        Ok(folders)
    }

    fn held(&self, handle: &Handle) -> Option<(&Watch, &Held)> {
        let watch = self.watch.as_deref()?;
        Some((watch, watch.held.get(&handle.rep())?))
    }

    fn folder(&self, handle: &Handle) -> Option<Folder> {
        let (watch, Held::Folder(place, depth)) = self.held(handle)? else { return None };
        Some(Folder { books: Arc::clone(&watch.books), place: *place, depth: *depth })
    }

    fn file(&self, handle: &Handle) -> Option<Arc<OpenFile>> {
        let (_, Held::File(file)) = self.held(handle)? else { return None };
        Some(Arc::clone(file))
    }

    fn hold(&mut self, handle: &Handle, held: Held) {
        if let Some(watch) = self.watch.as_deref_mut() {
            watch.held.insert(handle.rep(), held);
        }
    }

    /// What is there now. Nothing also where it cannot be looked at, as nothing can be done to it
    /// then.
    async fn find(&mut self, folder: &Handle, path: &str) -> Option<Found> {
        let (flags, path) = (PathFlags::empty(), path.to_owned());
        let stat = self.wasi.stat_at(again(folder), flags, path.clone()).await.ok()?;
        let hash = self.wasi.metadata_hash_at(again(folder), flags, path).await.ok()?;
        let is_folder = stat.type_ == DescriptorType::Directory;
        Some(Found { identity: identity(&hash), bytes: stat.size, is_folder })
    }

    /// Takes note of what was opened below a folder that may be written to.
    async fn note(&mut self, opened: &Handle, folder: &Folder, depth: u32) -> FsResult<()> {
        let held = match self.wasi.table.get(opened)?.clone() {
            Descriptor::Dir(_) => Held::Folder(folder.place, depth),
            Descriptor::File(file) => {
                let hash = self.wasi.metadata_hash(again(opened)).await?;
                let file = OpenFile::new(&folder.books, folder.place, file, identity(&hash));
                Held::File(Arc::new(file))
            }
        };
        self.hold(opened, held);
        Ok(())
    }

    fn stream(
        &mut self,
        file: Arc<OpenFile>,
        at: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(FileStream::new(file, at));
        Ok(self.wasi.table.push(stream)?)
    }
}

/// The same descriptor for another call.
fn again(handle: &Handle) -> Handle {
    Resource::new_borrow(handle.rep())
}

fn identity(hash: &MetadataHashValue) -> Identity {
    (hash.lower, hash.upper)
}

/// How many folders the end of a path stands in. There are no links, so its text tells.
fn depth(base: u32, path: &str) -> u32 {
    path.split('/').fold(base, |depth, step| match step {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth.saturating_add(1),
    })
}

/// What a guest is told of a limit.
fn refusal(breach: &Breach) -> ErrorCode {
    if matches!(breach, Breach::Files(_)) { ErrorCode::Quota } else { ErrorCode::InsufficientSpace }
}

fn refused(breach: &Breach) -> FsError {
    refusal(breach).into()
}

impl From<Over> for FsError {
    fn from(over: Over) -> Self {
        Self::trap(over)
    }
}

impl types::Host for WatchedView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        if let Some(breach) = self.wasi.table.get(&error)?.downcast_ref::<Breach>() {
            return Ok(Some(refusal(breach)));
        }
        self.wasi.filesystem_error_code(error)
    }
}

impl HostDirectoryEntryStream for WatchedView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}

impl HostDescriptor for WatchedView<'_> {
    async fn open_at(
        &mut self,
        folder: Handle,
        flags: PathFlags,
        path: String,
        how: OpenFlags,
        mode: DescriptorFlags,
    ) -> FsResult<Handle> {
        let Some(watched) = self.folder(&folder) else {
            return self.wasi.open_at(folder, flags, path, how, mode).await;
        };
        let (books, place) = (&watched.books, watched.place);
        let _turn = books.turn().await?;
        let before = self.find(&folder, &path).await;
        let is_new = before.is_none() && how.contains(OpenFlags::CREATE);
        if is_new {
            books.quota().add_entry(place).map_err(|breach| refused(&breach))?;
        }
        let depth = depth(watched.depth, &path);
        let opened = self.wasi.open_at(folder, flags, path, how, mode).await;
        match (&opened, before) {
            (Err(_), _) if is_new => books.quota().drop_entry(place),
            (Ok(_), Some(before)) if how.contains(OpenFlags::TRUNCATE) => {
                books.quota().shrink(place, before.bytes);
            }
            _ => {}
        }
        let opened = opened?;
        self.note(&opened, &watched, depth).await?;
        Ok(opened)
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        if let Some(watch) = self.watch.as_deref_mut() {
            watch.held.remove(&handle.rep());
        }
        HostDescriptor::drop(&mut self.wasi, handle)
    }

    fn write_via_stream(
        &mut self,
        handle: Handle,
        at: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        match self.file(&handle) {
            Some(file) => self.stream(file, Some(at)),
            None => self.wasi.write_via_stream(handle, at),
        }
    }

    fn append_via_stream(&mut self, handle: Handle) -> FsResult<Resource<DynOutputStream>> {
        match self.file(&handle) {
            Some(file) => self.stream(file, None),
            None => self.wasi.append_via_stream(handle),
        }
    }

    async fn write(&mut self, handle: Handle, bytes: Vec<u8>, at: Filesize) -> FsResult<Filesize> {
        let Some(file) = self.file(&handle) else {
            return self.wasi.write(handle, bytes, at).await;
        };
        let _turn = file.books.turn().await?;
        let before = self.wasi.stat(again(&handle)).await?.size;
        let growth = at.saturating_add(bytes.len() as u64).saturating_sub(before);
        file.books.quota().grow(file.place, growth).map_err(|breach| refused(&breach))?;
        let written = self.wasi.write(again(&handle), bytes, at).await;
        // It may have written less than it was asked to.
        let grown = match self.wasi.stat(handle).await {
            Ok(after) => after.size.saturating_sub(before),
            Err(_) => growth,
        };
        file.books.quota().shrink(file.place, growth.saturating_sub(grown));
        written
    }

    async fn set_size(&mut self, handle: Handle, bytes: Filesize) -> FsResult<()> {
        let Some(file) = self.file(&handle) else {
            return self.wasi.set_size(handle, bytes).await;
        };
        let _turn = file.books.turn().await?;
        let before = self.wasi.stat(again(&handle)).await?.size;
        let growth = bytes.saturating_sub(before);
        file.books.quota().grow(file.place, growth).map_err(|breach| refused(&breach))?;
        let set = self.wasi.set_size(handle, bytes).await;
        let freed = if set.is_ok() { before.saturating_sub(bytes) } else { growth };
        file.books.quota().shrink(file.place, freed);
        set
    }

    async fn create_directory_at(&mut self, folder: Handle, path: String) -> FsResult<()> {
        let Some(watched) = self.folder(&folder) else {
            return self.wasi.create_directory_at(folder, path).await;
        };
        if depth(watched.depth, &path) > DEPTH_MAX {
            return Err(ErrorCode::NameTooLong.into());
        }
        let _turn = watched.books.turn().await?;
        if self.find(&folder, &path).await.is_some() {
            return Err(ErrorCode::Exist.into());
        }
        watched.books.quota().add_entry(watched.place).map_err(|breach| refused(&breach))?;
        let made = self.wasi.create_directory_at(folder, path).await;
        if made.is_err() {
            watched.books.quota().drop_entry(watched.place);
        }
        made
    }

    async fn unlink_file_at(&mut self, folder: Handle, path: String) -> FsResult<()> {
        let Some(Folder { books, place, .. }) = self.folder(&folder) else {
            return self.wasi.unlink_file_at(folder, path).await;
        };
        let _turn = books.turn().await?;
        let found = self.find(&folder, &path).await;
        self.wasi.unlink_file_at(folder, path).await?;
        if let Some(found) = found {
            books.quota().remove_file(place, found.identity, found.bytes);
        }
        Ok(())
    }

    async fn remove_directory_at(&mut self, folder: Handle, path: String) -> FsResult<()> {
        let Some(Folder { books, place, .. }) = self.folder(&folder) else {
            return self.wasi.remove_directory_at(folder, path).await;
        };
        let _turn = books.turn().await?;
        self.wasi.remove_directory_at(folder, path).await?;
        books.quota().drop_entry(place);
        Ok(())
    }

    async fn rename_at(
        &mut self,
        folder: Handle,
        path: String,
        to_folder: Handle,
        to_path: String,
    ) -> FsResult<()> {
        let (from, to) = match (self.folder(&folder), self.folder(&to_folder)) {
            (None, None) => return self.wasi.rename_at(folder, path, to_folder, to_path).await,
            (Some(from), Some(to)) if from.place == to.place => (from, to),
            _ => return Err(ErrorCode::CrossDevice.into()),
        };
        let _turn = from.books.turn().await?;
        let moved = self.find(&folder, &path).await;
        let is_deeper = depth(to.depth, &to_path) > depth(from.depth, &path);
        if is_deeper && moved.as_ref().is_some_and(|moved| moved.is_folder) {
            // With all that is in it, it could stand deeper than folders may.
            return Err(ErrorCode::NotPermitted.into());
        }
        let replaced = self.find(&to_folder, &to_path).await;
        self.wasi.rename_at(folder, path, to_folder, to_path).await?;
        let (Some(moved), Some(replaced)) = (moved, replaced) else { return Ok(()) };
        if replaced.identity == moved.identity {
            return Ok(());
        }
        let mut quota = from.books.quota();
        if replaced.is_folder {
            quota.drop_entry(from.place);
        } else {
            quota.remove_file(from.place, replaced.identity, replaced.bytes);
        }
        Ok(())
    }

    async fn symlink_at(&mut self, _: Handle, _: String, _: String) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    async fn link_at(
        &mut self,
        _: Handle,
        _: PathFlags,
        _: String,
        _: Handle,
        _: String,
    ) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    // What changes no size and makes nothing is left to `wasmtime-wasi`.

    async fn advise(
        &mut self,
        handle: Handle,
        from: Filesize,
        bytes: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.wasi.advise(handle, from, bytes, advice).await
    }

    async fn sync_data(&mut self, handle: Handle) -> FsResult<()> {
        self.wasi.sync_data(handle).await
    }

    async fn sync(&mut self, handle: Handle) -> FsResult<()> {
        self.wasi.sync(handle).await
    }

    async fn get_flags(&mut self, handle: Handle) -> FsResult<DescriptorFlags> {
        self.wasi.get_flags(handle).await
    }

    async fn get_type(&mut self, handle: Handle) -> FsResult<DescriptorType> {
        self.wasi.get_type(handle).await
    }

    async fn set_times(
        &mut self,
        handle: Handle,
        read: NewTimestamp,
        changed: NewTimestamp,
    ) -> FsResult<()> {
        self.wasi.set_times(handle, read, changed).await
    }

    async fn set_times_at(
        &mut self,
        folder: Handle,
        flags: PathFlags,
        path: String,
        read: NewTimestamp,
        changed: NewTimestamp,
    ) -> FsResult<()> {
        self.wasi.set_times_at(folder, flags, path, read, changed).await
    }

    async fn read(
        &mut self,
        handle: Handle,
        bytes: Filesize,
        from: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.wasi.read(handle, bytes, from).await
    }

    fn read_via_stream(
        &mut self,
        handle: Handle,
        from: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(handle, from)
    }

    async fn read_directory(&mut self, handle: Handle) -> FsResult<Resource<DirectoryEntryStream>> {
        self.wasi.read_directory(handle).await
    }

    async fn readlink_at(&mut self, folder: Handle, path: String) -> FsResult<String> {
        self.wasi.readlink_at(folder, path).await
    }

    async fn stat(&mut self, handle: Handle) -> FsResult<DescriptorStat> {
        self.wasi.stat(handle).await
    }

    async fn stat_at(
        &mut self,
        folder: Handle,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.wasi.stat_at(folder, flags, path).await
    }

    async fn is_same_object(&mut self, one: Handle, other: Handle) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, handle: Handle) -> FsResult<MetadataHashValue> {
        self.wasi.metadata_hash(handle).await
    }

    async fn metadata_hash_at(
        &mut self,
        folder: Handle,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.wasi.metadata_hash_at(folder, flags, path).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_of_a_path_is_told_by_its_text() {
        assert_eq!(depth(0, "a"), 1);
        assert_eq!(depth(2, "./a//b/"), 4);
        assert_eq!(depth(2, "a/../../b"), 2);
        assert_eq!(depth(0, "../.."), 0);
    }
}
