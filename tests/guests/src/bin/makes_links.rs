//! Makes links from the folder that it may read to what it may not.

use apflow_guests::report;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::PathFlags;

fn main() {
    for (folder, _) in get_directories() {
        report("a link to /etc", folder.symlink_at("/etc", "etc"));
        report("a link to ..", folder.symlink_at("..", "up"));
        report("a hard link", folder.link_at(PathFlags::empty(), "notes.txt", &folder, "again"));
        let outside = folder.link_at(PathFlags::SYMLINK_FOLLOW, "absolute", &folder, "passwd");
        report("a hard link to what is outside", outside);
        report("a new name", folder.rename_at("notes.txt", &folder, "../notes.txt"));
    }
}
