//! A `PostgreSQL` server of the tests' own, for as long as they run.
//!
//! One server for a test binary, and a database for each test. It listens on no port, and ends with
//! the tests however they end.

#![expect(clippy::disallowed_methods, reason = "tests start the server, and make its folder")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Keeps a server in the folder `$1` until its standard input ends, which it does with whoever
/// holds the other end. A password is asked of the user `guarded` alone.
const SERVE: &str = r#"
    set -eu
    trap true INT TERM
    cd "$1"
    initdb --pgdata=data --username=apflow --auth=trust --encoding=UTF8 --locale=C \
        --no-sync --no-instructions > log 2>&1
    { echo 'local all guarded scram-sha-256'; cat data/pg_hba.conf; } > hba
    mv hba data/pg_hba.conf
    postgres -D data -k "$1" -c listen_addresses= -c max_connections=200 -c shared_buffers=32MB \
        -c fsync=off -c full_page_writes=off >> log 2>&1 &
    server=$!
    until createdb --host="$1" --username=apflow ready >> log 2>&1; do
        kill -0 "$server"
        sleep 0.05
    done
    echo ready
    read -r line || true
    kill -INT "$server"
    wait "$server" || true
    cd /
    rm -rf "$1"
"#;

/// A server that runs.
struct Server {
    folder: PathBuf,
    programs: String,
    /// Its standard input is held open: the end of it is the server's.
    _alive: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// Makes a database and says where it is.
///
/// None when the server's programs are not installed, which is said aloud. On a machine that checks
/// changes, which sets `CI`, that is a failure.
pub(crate) fn make_database() -> Option<String> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start).as_ref()?;
    let name = format!("test{}", MADE.fetch_add(1, Ordering::Relaxed));
    let folder = server.folder.display();
    let mut createdb = Command::new("createdb");
    createdb.env("PATH", &server.programs).arg(format!("--host={folder}"));
    let made = createdb.args(["--username=apflow", &name]).status().unwrap();
    assert!(made.success(), "no database was made");
    Some(format!("postgres://apflow@localhost/{name}?host={folder}"))
}

/// Runs statements in a database that [`make_database`] made, behind the back of whoever uses it.
/// Each is a transaction of its own.
pub(crate) fn run_in(url: &str, statements: &[&str]) {
    let server = SERVER.get().unwrap().as_ref().unwrap();
    let mut psql = Command::new("psql");
    psql.env("PATH", &server.programs).args(["--quiet", "--no-psqlrc", "--output=/dev/null"]);
    psql.args(["--set=ON_ERROR_STOP=1", url]);
    psql.args(statements.iter().flat_map(|statement| ["--command", statement]));
    assert!(psql.status().unwrap().success(), "{statements:?}");
}

fn start() -> Option<Server> {
    let Some(programs) = find_programs() else {
        let missing = "PostgreSQL's programs are not installed (apt-get install postgresql)";
        #[expect(clippy::disallowed_methods, reason = "CI is no setting of the host")]
        let is_ci = std::env::var_os("CI").is_some();
        assert!(!is_ci, "{missing}");
        // Past what the test runner captures.
        let said = writeln!(std::io::stderr(), "\nSKIPPED what needs PostgreSQL: {missing}\n");
        said.unwrap();
        return None;
    };
    let folder = tempfile::Builder::new().prefix("apflow-pg-").tempdir().unwrap().keep();
    let mut command = Command::new("sh");
    command.args(["-c", SERVE, "serve"]).arg(&folder).env("PATH", &programs).env("LC_ALL", "C");
    if fs::metadata(&folder).unwrap().uid() == 0 {
        // The server refuses to run as root.
        let (user, group) = postgres_user();
        chown(&folder, Some(user), Some(group)).unwrap();
        command.uid(user).gid(group);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n", "{}", fs::read_to_string(folder.join("log")).unwrap_or_default());
    Some(Server { folder, programs, _alive: child })
}

/// A search path with the programs, which Debian keeps out of the usual one.
fn find_programs() -> Option<String> {
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<PathBuf> =
        packaged.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    folders.sort();
    folders.reverse();
    folders.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from));
    let has = |program: &str| folders.iter().any(|folder| folder.join(program).is_file());
    let found = ["initdb", "postgres", "createdb", "psql"].into_iter().all(has);
    let shown: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    found.then(|| shown.join(":"))
}

fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:")).unwrap();
    let ids: Vec<u32> = user.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    (ids[0], ids[1])
}
