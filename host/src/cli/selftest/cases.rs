//! The table: what each guest is given, and what must become of it.

use apflow_api::Code::{ComponentRefused, InvalidSchema};
use apflow_model::fault::FaultCode::{
    BudgetExhausted, CapabilityDenied, Permanent, Retryable, Trapped,
};
use serde_json::json;

use super::case::{Case, asks};
use super::place::Place;
use crate::hostile::Guest;

const FILES: &str = "capabilities: { fs: { in: read } }";
const OUT: &str = "capabilities: { fs: { out: write } }";
const SCRATCH: &str = "capabilities: { fs: { scratch: 1MiB } }";
const CALLS: &str = "capabilities: { http: [\"http://*:*\"] }";
const TCP: &str = "capabilities: { tcp: [\"*:*\"] }";
const SOCKETS: &str =
    "capabilities: { fs: { in: read }, clocks: true, sockets: [\"0.0.0.0/0:*\"] }";
const EVERY_SOCKET: &str = "sockets=0.0.0.0/0:*";
/// A grant of every server that has a public address.
const STAR: &str = "http=http://*:*";

/// What a guest is given, and what must become of it. Without a wildcard: a guest that does not
/// stand here does not compile.
#[expect(clippy::too_many_lines, clippy::match_same_arms, reason = "a table: a row for each guest")]
pub(super) fn case(guest: Guest, place: &Place) -> Case {
    let folder = format!("fs.in={}", place.folder());
    let origin = format!("http={}", place.peer.url(""));
    let (peer, private) = (place.peer.authority(), place.private.authority());
    let private_port = place.private.port().to_string();
    let calls = |limits: &str| {
        asks(format!("{CALLS}\nlimits: {{ {limits} }}")).granted(&origin).told([&peer])
    };
    match guest {
        Guest::AllocatesForever => limits("timeout: 300ms").meets("`limits.timeout`"),
        Guest::AllocatesNothing => asks("").told(["x"]).fails(Trapped, "unreachable"),
        Guest::AllocatesOutOfBounds => asks("").told(["x"]).fails(Trapped, "realloc return"),
        Guest::AllocatesOutOfLine => asks("").told(["x"]).fails(Trapped, "realloc return"),
        Guest::AsksForAGiantTable => {
            asks("").refused(ComponentRefused, "exceeds the limit of 100000")
        }
        Guest::AsksForAllMemory => asks("").refused(ComponentRefused, "memory does not fit"),
        Guest::AsksToWaitForever => asks("").fails(Retryable, "not now"),
        Guest::Behaves => asks(""),
        Guest::BreaksItsOwnSchema => asks("").fails(Permanent, "does not match its own schema"),
        Guest::BurnsItsFuel => limits("fuel: 1000000").meets("`limits.fuel`"),
        Guest::CallsBackWhileAllocating => asks("").told(["x"]).fails(Trapped, "cannot leave"),
        Guest::CallsPrivateAddresses => asks(CALLS).granted(STAR).told([&private_port]).tries(16),
        Guest::CallsPrivateNames => asks(CALLS).granted(STAR).told([&private_port]).tries(5),
        Guest::CallsUnlistedHosts => {
            asks(CALLS).granted(origin).told([&private, "example.com", "169.254.169.254"]).tries(3)
        }
        Guest::ClaimsEndlessTokens => asks(""),
        Guest::CleansUp => limits("cancel_grace: 5s").cancels(),
        Guest::DescribesAFalseSchema => asks("").refused(InvalidSchema, "input"),
        Guest::DescribesAFarSchema => asks("").refused(InvalidSchema, "input"),
        Guest::DescribesForever => asks("").refused(ComponentRefused, "within 5 s"),
        Guest::DescribesNoSchema => asks("").refused(ComponentRefused, "is not JSON"),
        Guest::DescribesTooMuch => asks("").refused(ComponentRefused, "may have at most"),
        Guest::Dials => asks(TCP)
            .granted("tcp=*:*")
            .told([&private, &format!("localhost:{private_port}"), "169.254.169.254:80"])
            .tries(3),
        Guest::DoublesItsTypes => asks("").refused(ComponentRefused, "type size"),
        Guest::DrawsAGibibyteOfRandom => {
            asks("capabilities: { random: true }").meets("1 MiB of random bytes")
        }
        Guest::DropsAHandleTwice => asks("").fails(Trapped, "unknown handle index"),
        Guest::EatsMemory => limits("memory: 16MiB").meets("`limits.memory`"),
        Guest::EatsMemoryInDescribe => limits("memory: 16MiB").refused(ComponentRefused, "memory"),
        Guest::ExitsWithFailure => asks("").fails(Permanent, "exit code 1"),
        Guest::ExportsNothing => asks("").refused(ComponentRefused, "exports neither"),
        Guest::FaultsInControlCharacters => asks("").fails(Permanent, "reason"),
        Guest::FloodsAConnection => asks(format!("{TCP}\nlimits: {{ tcp_bytes: 1MiB }}"))
            .granted(format!("tcp={peer}"))
            .told([&peer])
            .meets("`limits.tcp_bytes`"),
        Guest::FloodsDenials => asks(format!("{CALLS}\n{BRIEF}")).meets("`limits.timeout`"),
        Guest::FloodsProgress => limits("timeout: 500ms").meets("`limits.timeout`"),
        Guest::FloodsStderr => limits("stderr: 1MiB").meets("`limits.stderr`"),
        Guest::FloodsStdout => limits("stdout: 1MiB").meets("`limits.stdout`"),
        Guest::FloodsTheLog => limits("timeout: 500ms").meets("`limits.timeout`"),
        Guest::FollowsARedirectHome => {
            asks(CALLS).granted(origin).granted(STAR).told([&peer]).tries(1)
        }
        Guest::ForgesAHandle => asks("").fails(Trapped, "unknown handle index"),
        Guest::GoesOnAfterCancel => limits("cancel_grace: 100ms").cancels(),
        Guest::GoesOnFromItsCheckpoint => asks("").fails(Permanent, "only half was done"),
        Guest::GrowsItsTable => limits("tables: 1000").meets("`limits.tables`"),
        Guest::HasManyMemories => asks("").refused(ComponentRefused, "configured maximum of 4"),
        Guest::HidesBytesInRemovedFiles => asks(SCRATCH).meets("`capabilities.fs.scratch`"),
        Guest::HidesHostsInUserinfo => {
            asks(CALLS).granted(origin).granted(STAR).told([&peer, &private]).tries(11)
        }
        Guest::HoardsConnections => calls("http_requests: 100000").meets("`limits.handles`"),
        Guest::HoardsFiles => asks(FILES).granted(folder).meets("`limits.handles`"),
        Guest::HoardsPollables => asks("").meets("`limits.handles`"),
        Guest::HoardsRequests => asks(CALLS).meets("`limits.handles`"),
        Guest::HoardsReservations => asks("").meets("`limits.handles`"),
        Guest::ImportsAFalseType => asks("").refused(ComponentRefused, "cannot be linked"),
        Guest::ImportsTheUnknown => asks("").refused(ComponentRefused, "is not known to this host"),
        Guest::IsACoreModule => asks("").refused(ComponentRefused, "core WebAssembly module"),
        Guest::LeaksSecrets => asks("capabilities: { http: [\"http://*:*\"], secrets: [api_key] }")
            .granted(origin)
            .given(json!({ "do": format!("tell api_key {peer}") }))
            .fails(CapabilityDenied, "--grant secret=api_key"),
        Guest::LiesAboutItsName => asks("").refused(ComponentRefused, "the name is"),
        Guest::LiesAboutItsVersion => asks("").refused(ComponentRefused, "the version is"),
        Guest::LiesInItsManifest => asks("").refused(ComponentRefused, "wasi:clocks/wall-clock"),
        Guest::LinksOutOfItsFolder => {
            asks("capabilities: { fs: { in: read, out: write } }").granted(folder).tries(13)
        }
        Guest::ListsOutsideItsGrant => asks(FILES).granted(folder).tries(7),
        Guest::ListensForCallers => {
            asks(SOCKETS).granted(EVERY_SOCKET).fails(CapabilityDenied, "do not listen")
        }
        Guest::LogsAMillionFields => asks("").meets("host calls"),
        Guest::MakesDoWithLess => limits("memory: 16MiB"),
        Guest::MakesLinks => asks(FILES).granted(folder).tries(5),
        Guest::MakesManyFiles => {
            asks(format!("{OUT}\nlimits: {{ files: 100 }}")).told(["/out"]).meets("`limits.files`")
        }
        Guest::MakesManyInstances => asks("").refused(ComponentRefused, "configured maximum of 60"),
        Guest::NestsFolders => asks(SCRATCH),
        Guest::NestsItsOutput => asks("").fails(Permanent, "is not JSON"),
        Guest::NeverEnds => limits("timeout: 300ms").meets("`limits.timeout`"),
        Guest::OpensASocket => asks(FILES).refused(ComponentRefused, "wasi:sockets/"),
        Guest::OpensPathsByHand => asks(FILES).granted(folder).tries(9),
        Guest::OverrunsItsQuota => {
            asks(format!("{OUT}\nlimits: {{ out: 1MiB }}")).told(["/out/big"]).meets("`limits.out`")
        }
        Guest::OverspendsItsBudget => {
            asks("").with_tokens(100).fails(BudgetExhausted, "more than its budgets had left")
        }
        Guest::Panics => asks("").fails(Trapped, "it was the butler"),
        Guest::PanicsInDescribe => asks("").refused(ComponentRefused, "none of your business"),
        Guest::PassesDanglingPointers => asks("").fails(Trapped, "out of bounds"),
        Guest::PassesGiantArguments => limits("memory: 128MiB").meets("host calls"),
        Guest::PollsAMillionTimes => asks("").meets("`limits.handles`"),
        Guest::PretendsToBeAnExecutor => asks("").refused(ComponentRefused, "cannot be linked"),
        Guest::ReadsASlowBody => calls("timeout: 500ms").meets("`limits.timeout`"),
        Guest::ReadsAnEndlessBody => calls("http_body: 1MiB").meets("`limits.http_body`"),
        Guest::ReadsEndlessHeaders => calls("").tries(1),
        Guest::ReadsOutsideItsGrant => asks(FILES).granted(folder).told(OUTSIDE).tries(8),
        Guest::ReadsTheHostsStdin => asks("").tries(1),
        Guest::ReadsUngrantedVariables => asks("capabilities: { env: [PATH, HOME] }").tries(0),
        Guest::RecursesForever => asks("").fails(Trapped, "out of bounds memory"),
        Guest::RecursesInWasm => asks("").meets("512 KiB"),
        Guest::ReturnsAGiantFault => asks("").fails(Permanent, "…"),
        Guest::ReturnsAGiantOutput => limits("output: 1MiB").meets("`limits.output`"),
        Guest::ReturnsBrokenJson => asks("").fails(Permanent, "is not JSON"),
        Guest::ReturnsNeither => asks("").fails(Trapped, "discriminant"),
        Guest::SavesGiantCheckpoints => asks("").tries(3),
        Guest::SavesTooManyCheckpoints => asks("").tries(1),
        Guest::SendsAnEndlessBody => calls("http_body: 1MiB").meets("`limits.http_body`"),
        Guest::SendsDatagrams => {
            asks(SOCKETS).granted(EVERY_SOCKET).fails(CapabilityDenied, "for UDP was refused")
        }
        Guest::SendsGiantHeaders => asks(CALLS).meets("`limits.http_headers`"),
        Guest::SendsTooManyRequests => calls("http_requests: 3").meets("`limits.http_requests`"),
        Guest::SleepsForever => asks("capabilities: { clocks: true }\nlimits: { timeout: 300ms }")
            .meets("`limits.timeout`"),
        Guest::SmugglesHeaders => asks(CALLS).tries(14),
        Guest::SpeaksAnotherVersion => asks("").refused(ComponentRefused, "earlier versions"),
        Guest::SpendsAgainAndAgain => asks("capabilities: { clocks: true }"),
        Guest::SpeaksInControlCharacters => asks(""),
        Guest::SpeaksNoUtf8 => ["log", "field", "progress", "step", "output", "fault"]
            .into_iter()
            .fold(asks(""), |case, text| case.given(json!({ "as": text })))
            .fails(Trapped, "utf-8"),
        Guest::SpreadsOverMemories => limits("memory: 16MiB").meets("`limits.memory`"),
        Guest::StartNeverEnds => limits("timeout: 300ms").meets("`limits.timeout`"),
        Guest::StartsProcesses => asks(FILES).tries(4),
        Guest::TagsItselfEndlessly => asks("").refused(ComponentRefused, "describe"),
        Guest::TalksAndWaits => asks("capabilities: { clocks: true }\nlimits: { timeout: 300ms }")
            .meets("`limits.timeout`"),
        Guest::UsesFiles => asks(SCRATCH),
        Guest::WaitsForASilentServer => calls("timeout: 500ms").meets("`limits.timeout`"),
        Guest::WorksInDescribe => asks("").refused(ComponentRefused, "the name is `nothing`"),
        Guest::WritesItsBodySlowly => asks(format!("{CLOCKS_AND_CALLS}\n{BRIEF}"))
            .granted(origin)
            .told([&peer])
            .meets("`limits.timeout`"),
        Guest::WritesNoText => asks("").fails(Permanent, "is not UTF-8"),
        Guest::WritesToItsInput => asks(FILES).granted(folder).tries(6),
    }
}

const CLOCKS_AND_CALLS: &str = "capabilities: { clocks: true, http: [\"http://*:*\"] }";
const BRIEF: &str = "limits: { timeout: 500ms }";
/// Paths that lead out of the granted folder.
const OUTSIDE: [&str; 8] = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "/in/../secret.txt",
    "/in/below/../../secret.txt",
    "/in/absolute",
    "/in/relative",
    "/in/root/etc/passwd",
    "/proc/self/environ",
];

/// A guest with these limits in its manifest.
fn limits(limits: &str) -> Case {
    asks(format!("limits: {{ {limits} }}"))
}
