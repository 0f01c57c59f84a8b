//! Opens paths without the library that would refuse them first.

use apflow_guests::report;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

fn main() {
    let links = PathFlags::SYMLINK_FOLLOW;
    for (folder, _) in get_directories() {
        for path in ["..", "../secret.txt", "/etc/passwd", "absolute", "relative", "root/etc"] {
            report(path, folder.open_at(links, path, OpenFlags::empty(), DescriptorFlags::READ));
        }
        for path in ["notes.txt", "new.txt"] {
            let (flags, write) = (OpenFlags::CREATE, DescriptorFlags::WRITE);
            report(path, folder.open_at(links, path, flags, write));
        }
        let write = DescriptorFlags::MUTATE_DIRECTORY | DescriptorFlags::READ;
        let below = folder.open_at(links, "below", OpenFlags::DIRECTORY, write);
        report("a new folder", below.and_then(|below| below.create_directory_at("new")));
    }
}
