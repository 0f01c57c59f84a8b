//! The table: what each guest is given, and what must become of it.

use apflow_api::Code::ComponentRefused;
use apflow_model::fault::FaultCode::{Permanent, Trapped};

use super::case::{Case, asks};
use super::guest::Guest;
use super::place::Place;

const FILES: &str = "capabilities: { fs: { in: read } }";
const CALLS: &str = "capabilities: { http: [\"http://*:*\"] }";

/// What a guest is given, and what must become of it. Without a wildcard: a guest that does not
/// stand here does not compile.
pub(super) fn case(guest: Guest, place: &Place) -> Case {
    let (folder, origin) =
        (format!("fs.in={}", place.folder()), format!("http={}", place.peer.url("")));
    let private = place.private.authority();
    match guest {
        Guest::Behaves => asks(""),
        Guest::CallsUnlistedHosts => {
            asks(CALLS).granted(origin).told([&private, "example.com", "169.254.169.254"]).tries(3)
        }
        Guest::DescribesForever => asks("").refused(ComponentRefused, "within 5 s"),
        Guest::EatsMemory => asks("limits: { memory: 16MiB }").meets("`limits.memory`"),
        Guest::ExitsWithFailure => asks("").fails(Permanent, "exit code 1"),
        Guest::FloodsStderr | Guest::FloodsStdout => {
            asks("limits: { output: 1MiB }").meets("`limits.output`")
        }
        Guest::LiesInItsManifest => asks("").refused(ComponentRefused, "wasi:clocks/wall-clock"),
        Guest::MakesDoWithLess => asks("limits: { memory: 16MiB }"),
        Guest::NeverEnds => asks("limits: { timeout: 300ms }").meets("`limits.timeout`"),
        Guest::OpensASocket => asks(FILES).refused(ComponentRefused, "wasi:sockets/"),
        Guest::Panics => asks("").fails(Trapped, "it was the butler"),
        Guest::ReadsOutsideItsGrant => asks(FILES)
            .granted(folder)
            .told([
                "/etc/passwd",
                "../../../../etc/passwd",
                "/in/../secret.txt",
                "/in/below/../../secret.txt",
                "/in/absolute",
                "/in/relative",
                "/in/root/etc/passwd",
                "/proc/self/environ",
            ])
            .tries(8),
        Guest::ReadsUngrantedVariables => asks("capabilities: { env: [PATH, HOME] }").tries(0),
        Guest::RecursesForever => asks("").fails(Trapped, "out of bounds memory"),
        Guest::RecursesInWasm => asks("").fails(Trapped, "call stack exhausted"),
        Guest::SleepsForever => asks("capabilities: { clocks: true }\nlimits: { timeout: 300ms }")
            .meets("`limits.timeout`"),
        Guest::WritesToItsInput => asks(FILES).granted(folder).tries(6),
    }
}
