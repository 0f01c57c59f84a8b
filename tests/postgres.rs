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
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Keeps a server in the folder `$1` until its standard input ends, which it does with whoever
/// holds the other end. It is told to `begin`; and to `crash`, which stops it as a power cut does and
/// starts it again. A password is asked of the user `guarded` alone.
const SERVE: &str = r#"
    set -eu
    trap true INT TERM
    folder="$1"
    cd "$folder"
    begin() {
        postgres -D data -k "$folder" -c listen_addresses= -c max_connections=200 \
            -c shared_buffers=32MB -c fsync=off -c full_page_writes=off >> log 2>&1 &
        server=$!
        until psql --host="$folder" --username=apflow --command=';' postgres >> log 2>&1; do
            kill -0 "$server"
            sleep 0.05
        done
    }
    initdb --pgdata=data --username=apflow --auth=trust --encoding=UTF8 --locale=C \
        --no-sync --no-instructions > log 2>&1
    { echo 'local all guarded scram-sha-256'; cat data/pg_hba.conf; } > hba
    mv hba data/pg_hba.conf
    while read -r order; do
        case "$order" in
        begin)
            begin
            createdb --host="$folder" --username=apflow ready >> log 2>&1
            ;;
        crash)
            kill -QUIT "$server"
            wait "$server" || true
            begin
            ;;
        esac
        echo ready
    done
    kill -INT "$server"
    wait "$server" || true
    cd /
    rm -rf "$folder"
"#;

/// A server that runs.
pub(crate) struct Server {
    folder: PathBuf,
    programs: String,
    /// What keeps it: the end of its standard input is the server's.
    keeper: Mutex<Keeper>,
}

struct Keeper {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Has an order of [`SERVE`] carried out.
    pub(crate) fn order(&self, order: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.orders, "{order}").unwrap();
        let mut said = String::new();
        keeper.answers.read_line(&mut said).unwrap();
        let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert_eq!(said, "ready\n", "{}", log());
    }
}

pub(crate) static SERVER: OnceLock<Option<Server>> = OnceLock::new();

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

#[expect(clippy::zombie_processes, reason = "it ends after this process, by the end of its input")]
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
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let keeper =
        Keeper { orders: child.stdin.unwrap(), answers: BufReader::new(child.stdout.unwrap()) };
    let server = Server { folder, programs, keeper: Mutex::new(keeper) };
    server.order("begin");
    Some(server)
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
