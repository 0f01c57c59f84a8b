//! The folders of tasks: their quotas, what they are handed, what they leave, and what is left of
//! them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::{
    BEHAVES, Guest, HIDES_BYTES_IN_REMOVED_FILES, LINKS_OUT_OF_ITS_FOLDER, MAKES_MANY_FILES,
    NESTS_FOLDERS, NEVER_ENDS, OVERRUNS_ITS_QUOTA, USES_FILES, path,
};
use crate::host::TestHost;
use crate::serving::Serving;

const ALL: &str = "capabilities: { fs: { in: read, out: write, scratch: 1MiB } }\n\
                   limits: { out: 2MiB, files: 10 }";

/// What Rust makes of a stream that failed: it does not ask why.
const FULL: &str = "uncategorized error";

/// A task of the guest that does with files what it is told.
fn deeds(id: &str, text: &str) -> Value {
    let words: Vec<&str> = text.split_whitespace().collect();
    json!({ "id": id, "executor": USES_FILES.name(), "inputs": { "args": words },
            "max_attempts": 1 })
}

/// Runs one task of the guest that does with files what it is told, and returns what it says.
#[track_caller]
fn says(host: &TestHost, text: &str) -> String {
    let task = deeds("task", text);
    let input = task["inputs"].to_string();
    let output = host.run(&["run", USES_FILES.name(), "--input", &input]).succeeds().json();
    output["stdout"].as_str().unwrap().to_owned()
}

/// Runs a guest with an argument that ends with the fault `limit-exceeded`, and returns its task.
#[track_caller]
fn breaks_a_limit(host: &TestHost, guest: Guest, argument: &str, limit: &str) -> Value {
    let input = json!({ "args": [argument] }).to_string();
    let ended = host.run(&["run", guest.name(), "--json", "--input", &input]).exits(1);
    let task = ended.json();
    assert_eq!(task["fault"]["code"], "limit-exceeded", "{task:#}");
    let message = task["fault"]["message"].as_str().unwrap();
    assert!(message.contains(limit), "{message}");
    task
}

/// How many files and folders there are below a folder of the data directory.
fn count(host: &TestHost, folder: &str) -> usize {
    fn below(path: &Path) -> usize {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| 1 + if path.is_dir() { below(&path) } else { 0 }).sum()
    }
    below(&host.data().join(folder))
}

#[test]
fn a_task_works_in_its_folders_and_only_out_is_left() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let said = says(
        &host,
        "folder /out/below write /out/below/a hello move /out/below/a /out/b read /out/b \
         write /scratch/c x list /scratch list /out",
    );
    for line in ["read /out/b: hello", "list /scratch: c", "list /out: b below"] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(count(&host, "work"), 0, "the folders of the attempt are gone");
    assert_eq!(count(&host, "files"), 4, "a job, its task, a folder and a file");
    assert!(says(&host, "list /out list /scratch").contains("list /out: \nlist /scratch: \n"));
}

#[test]
fn without_the_key_there_is_no_such_folder() {
    let host = TestHost::new();
    USES_FILES.load(&host, "capabilities: { fs: { scratch: 1MiB } }");
    let said = says(&host, "write /out/a x write /in/a x write /scratch/a x");
    assert!(said.contains("write /scratch/a: done"), "{said}");
    assert_eq!(said.matches(": done").count(), 1, "{said}");
    assert_eq!(count(&host, "files"), 0);
}

#[test]
fn a_guest_that_overruns_its_quota_is_stopped_at_it() {
    let host = TestHost::new();
    OVERRUNS_ITS_QUOTA.load(&host, ALL);
    for (argument, limit, most) in [
        ("/out/a", "2 MiB to /out; `limits.out`", 2 << 20),
        ("/scratch/a", "1 MiB to /scratch; `capabilities.fs.scratch`", 1 << 20),
    ] {
        let task = breaks_a_limit(&host, OVERRUNS_ITS_QUOTA, argument, limit);
        assert_eq!(task["usage"]["file_bytes_peak"], most);
        assert_eq!(count(&host, "work") + count(&host, "files"), 0, "a failure leaves nothing");
    }
}

#[test]
fn many_small_files_and_folders_are_stopped_at_their_number() {
    let host = TestHost::new();
    MAKES_MANY_FILES.load(&host, ALL);
    for folder in ["/out", "/scratch"] {
        breaks_a_limit(&host, MAKES_MANY_FILES, folder, "more than 10 files and folders");
    }
    assert_eq!(count(&host, "work") + count(&host, "files"), 0);
}

#[test]
fn what_is_removed_while_it_is_open_still_counts() {
    let host = TestHost::new();
    HIDES_BYTES_IN_REMOVED_FILES.load(&host, ALL);
    let guest = HIDES_BYTES_IN_REMOVED_FILES;
    let task = breaks_a_limit(&host, guest, "", "`capabilities.fs.scratch`");
    assert_eq!(task["usage"]["file_bytes_peak"], 1 << 20);
}

#[test]
fn folders_stand_in_each_other_only_so_deep() {
    let host = TestHost::new();
    NESTS_FOLDERS.load(&host, "capabilities: { fs: { scratch: 1MiB } }");
    let output = host.run(&["run", NESTS_FOLDERS.name()]).succeeds().json();
    let said = output["stdout"].as_str().unwrap();
    assert!(said.starts_with("32 deep") && said.ends_with("then refused\n"), "{said}");
    assert_eq!(count(&host, "work"), 0);
}

#[test]
fn a_hole_counts_as_if_it_were_written() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let tebibyte = 1_u64 << 40;
    let said = says(
        &host,
        &format!(
            "cut /out/a {tebibyte} cut /out/a 2097152 fill /out/a 1 cut /out/a 0 fill /out/a 4096"
        ),
    );
    let kinds: Vec<_> = said.lines().map(|line| line.rsplit(": ").next().unwrap()).collect();
    assert_eq!(kinds, ["no storage space", "done", FULL, "done", "done"], "{said}");
}

#[test]
fn room_that_is_given_back_can_be_used_again() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let again = "fill /scratch/a 1048576 remove /scratch/a ".repeat(5);
    let replaced = "fill /scratch/b 524288 fill /scratch/c 524288 move /scratch/b /scratch/c \
                    fill /scratch/b 524288 write /scratch/b x fill /scratch/d 524287";
    let said = says(&host, &format!("{again}{replaced}"));
    assert!(said.lines().all(|line| line.ends_with(": done")), "{said}");
    let full = says(&host, &format!("{again}{replaced} fill /scratch/e 1"));
    assert!(full.ends_with(&format!("fill /scratch/e: {FULL}\n")), "{full}");
}

#[test]
fn a_refusal_that_a_guest_gets_over_is_no_fault() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    assert!(says(&host, "fill /out/a 9999999 remove /out/a").contains(FULL));
    let input = deeds("task", "fill /out/a 9999999 fail")["inputs"].to_string();
    let ended = host.run(&["run", USES_FILES.name(), "--input", &input]).exits(1);
    ended.says(&["error[limit-exceeded]", "`limits.out`"]);
}

#[test]
fn no_link_and_no_step_up_leads_out_of_a_folder() {
    let granted = TempDir::new().unwrap();
    fs::write(granted.path().join("notes.txt"), "as before").unwrap();
    let host = TestHost::new();
    LINKS_OUT_OF_ITS_FOLDER.load(&host, ALL);
    let grant = format!("fs.in={}", path(&granted));
    let name = LINKS_OUT_OF_ITS_FOLDER.name();
    let output = host.run(&["run", name, "--grant", &grant]).succeeds().json();
    let said = output["stdout"].as_str().unwrap();
    assert_eq!(said.matches(": out of reach").count(), 13, "{said}");
    assert_eq!(fs::read_dir(granted.path()).unwrap().count(), 1);
    assert!(!host.data().join("work/escaped").exists() && !host.data().join("escaped").exists());
    assert_eq!(count(&host, "files"), 0);
}

#[test]
fn a_dependent_reads_what_its_dependency_left_and_cannot_change_it() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let granted = TempDir::new().unwrap();
    fs::write(granted.path().join("own.txt"), "granted").unwrap();
    let mut reads = deeds(
        "reads",
        "read /in/fetch/below/a.txt list /in/fetch write /in/fetch/b x remove /in/fetch/below/a.txt \
         list /in/idle list /in/other read /in/own.txt",
    );
    reads["dependencies"] = json!(["fetch", "idle"]);
    let tasks = json!({ "tasks": [
        deeds("fetch", "folder /out/below write /out/below/a.txt fetched"),
        deeds("other", "write /out/secret other"),
        deeds("idle", "list /out"),
        reads,
    ] });
    let arguments = ["run", "batch", "--json", "--tasks", &tasks.to_string()];
    let grant = format!("fs.in={}", path(&granted));
    let job = host.run(&[&arguments[..], &["--grant", &grant]].concat()).succeeds().json();
    let said = job["tasks"][3]["output"]["stdout"].as_str().unwrap();
    for line in ["a.txt: fetched", "list /in/fetch: below", "read /in/own.txt: granted"] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(said.matches(": done").count(), 0, "{said}");
    assert_eq!(said.matches(": entity not found").count(), 2, "{said}");
    let id = job["id"].as_str().unwrap();
    let task = job["tasks"][0]["id"].as_str().unwrap();
    let kept = host.data().join("files").join(id).join(task).join("below/a.txt");
    assert_eq!(fs::read_to_string(kept).unwrap(), "fetched");
}

#[test]
fn a_retry_starts_with_empty_folders_and_a_failure_leaves_nothing() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let mut task = deeds("task", "list /out list /scratch write /out/a x write /scratch/a x abort");
    task["max_attempts"] = json!(3);
    task["backoff"] = json!({ "strategy": "fixed", "base_seconds": 0 });
    let arguments = ["run", "batch", "--json", "--tasks", &json!([task]).to_string()];
    let job = host.run(&arguments).exits(1).json();
    let attempts = job["tasks"][0]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    for attempt in attempts {
        let message = attempt["fault"]["message"].as_str().unwrap();
        assert!(message.contains("list /out: \nlist /scratch: \nwrite /out/a: done"), "{message}");
    }
    assert_eq!(count(&host, "files") + count(&host, "work"), 0);
}

#[test]
fn what_a_task_left_is_listed_and_downloaded() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let serving = Serving::start(&host);
    let task = deeds("a task", "folder /out/below write /out/below/a.txt hello fill /out/b 200000");
    let job = serving.submit("?wait=30", &json!({ "tasks": [task] })).is(200).json();
    assert_eq!(job["state"], "completed", "{job:#}");
    let files = format!("/api/v1/jobs/{}/files", job["id"].as_str().unwrap());
    let listed = serving.get(&files).is(200).json();
    let listed = listed["files"].as_array().unwrap();
    let of = |n: usize| (&listed[n]["task"], &listed[n]["name"], &listed[n]["size"]);
    assert_eq!(of(0), (&json!("a task"), &json!("b"), &json!(200_000)));
    assert_eq!(of(1), (&json!("a task"), &json!("below/a.txt"), &json!(5)));
    let answer = serving.get(&format!("{files}/a%20task/below/a.txt")).is(200);
    assert_eq!(answer.body(), b"hello");
    assert_eq!(answer.headers["content-type"], "text/plain");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename*=UTF-8''a.txt");
    let large = serving.get(&format!("{files}/a%20task/b")).is(200);
    assert_eq!(large.body(), vec![b'x'; 200_000]);
    for name in ["c", "below", "../apflow.db", "..%2f..%2f..%2fapflow.db", "below/../b"] {
        serving.get(&format!("{files}/a%20task/{name}")).problem(404, "unknown-file");
    }
    serving.get(&format!("{files}/a%20task/%00")).problem(400, "invalid-request");
    serving.get(&format!("{files}/other/b")).problem(404, "unknown-file");
    serving.get("/api/v1/jobs/j_0000000000000/files").problem(404, "unknown-job");
    serving.get(&format!("{files}?limit=0")).problem(400, "invalid-request");
    serving.ask(&format!("GET {files}/a%20task/b"), None, b"").problem(401, "unauthorized");
}

#[test]
fn the_command_line_lists_and_saves_what_tasks_left() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let tasks = json!([deeds("a", "folder /out/below write /out/below/x hello")]);
    let arguments = ["run", "batch", "--json", "--tasks", &tasks.to_string()];
    let job = host.run(&arguments).succeeds().json();
    let id = job["id"].as_str().unwrap();
    let listed = host.run(&["jobs", "files", id]).succeeds();
    assert!(listed.stdout.contains("5 B") && listed.stdout.contains("below/x"), "{listed:?}");
    let folder = TempDir::new().unwrap();
    let arguments = ["jobs", "files", id, "--save", path(&folder), "--json"];
    let saved = host.run(&arguments).succeeds().json();
    let task = saved["files"][0]["task_id"].as_str().unwrap();
    let text = fs::read_to_string(folder.path().join(task).join("below/x")).unwrap();
    assert_eq!(text, "hello");
    host.run(&arguments).exits(1);
    host.run(&["jobs", "files", "j_0000000000000"]).exits(1);
}

#[test]
fn an_uploaded_file_is_read_by_the_task_that_names_it() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    BEHAVES.load(&host, "");
    let serving = Serving::start(&host);
    let post = |name: &str, body: &[u8]| {
        let what = format!("POST /api/v1/files?name={name}");
        serving.ask(&what, Some(serving.token()), body)
    };
    let body = vec![b'y'; 300_000];
    let upload = post("notes%201.txt", &body).is(201).json();
    assert_eq!((&upload["name"], &upload["size"]), (&json!("notes 1.txt"), &json!(300_000)));
    assert_eq!(upload["sha256"].as_str().unwrap().len(), 64);
    let id = upload["file_id"].as_str().unwrap().to_owned();
    let mut task = deeds("task", "read");
    task["inputs"]["args"].as_array_mut().unwrap().push(json!({ "$file": id }));
    let job = serving.submit("?wait=30", &task).is(200).json();
    let said = job["tasks"][0]["output"]["stdout"].as_str().unwrap();
    let expected = format!("read /in/files/{id}/notes 1.txt: ");
    let read = said.strip_prefix(&expected).unwrap();
    assert_eq!(read.trim_end().as_bytes(), body);
    let filter = json!({ "executor": "transform_executor",
                         "inputs": { "filter": "length", "file": { "$file": id }, "format": "text" } });
    let job = serving.submit("?wait=30", &filter).is(200).json();
    assert_eq!(job["tasks"][0]["output"], 300_000, "{job:#}");
    // The same bytes under another name are kept once.
    post("again.txt", &body).is(201);
    assert_eq!(count(&host, "uploads"), 1);
    let unknown = json!({ "executor": USES_FILES.name(),
                          "inputs": { "args": ["read", { "$file": "f_0000000000001" }] } });
    let problem = serving.submit("", &json!({ "tasks": [unknown] })).problem(422, "invalid-input");
    assert_eq!(problem["pointer"], "/tasks/0/inputs/args/1/$file");
    let deaf = json!({ "executor": BEHAVES.name(), "inputs": { "stdin": { "$file": id } } });
    let problem = serving.submit("", &deaf).problem(422, "invalid-input");
    assert!(problem["detail"].as_str().unwrap().contains("fs: { in: read }"), "{problem:#}");
    for name in ["..", "a%2Fb", "", "a%0Ab"] {
        post(name, b"x").problem(400, "invalid-request");
    }
    serving.ask("POST /api/v1/files", Some(serving.token()), b"x").problem(400, "invalid-request");
    serving.ask("POST /api/v1/files?name=a", None, b"x").problem(401, "unauthorized");
}

#[test]
fn an_output_cannot_name_a_file() {
    let host = TestHost::new();
    USES_FILES.load(&host, ALL);
    let serving = Serving::start(&host);
    let upload = serving.ask("POST /api/v1/files?name=a", Some(serving.token()), b"secret");
    let id = upload.is(201).json()["file_id"].clone();
    let filter = format!("[\"list\", \"/in\", {{ (\"$\" + \"file\"): {id} }}]");
    let tasks = json!({ "tasks": [
        { "id": "lies", "executor": "transform_executor", "inputs": { "filter": filter } },
        { "id": "reads", "executor": USES_FILES.name(), "dependencies": ["lies"],
          "inputs": { "args": { "$from": "lies" } } } ] });
    let job = serving.submit("?wait=30", &tasks).is(200).json();
    assert_eq!(job["tasks"][1]["fault"]["code"], "invalid-input", "{job:#}");
}

#[test]
fn a_file_over_the_limit_is_refused_before_it_is_sent() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let head = "POST /api/v1/files?name=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let token = format!("Authorization: Bearer {}\r\n", serving.token());
    let stream = serving.send(&format!("{head}{token}Content-Length: 1073741825\r\n\r\n"));
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.contains("413"), "{line}");
    assert_eq!(count(&host, "uploads"), 0);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let host = TestHost::new();
    let serving = Serving::start(&host);
    let head = "POST /api/v1/files?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n";
    let token = format!("Authorization: Bearer {}\r\n\r\n", serving.token());
    let stream = serving.send(&format!("{head}{token}only the beginning"));
    serving.until(|| count(&host, "uploads") == 1);
    drop(stream);
    serving.until(|| count(&host, "uploads") == 0);
}

#[test]
fn a_host_that_is_killed_leaves_no_folder_after_its_next_start() {
    let host = TestHost::new();
    let asks = "capabilities: { fs: { out: write, scratch: 1MiB } }\nlimits: { timeout: 60s }";
    NEVER_ENDS.load(&host, asks);
    USES_FILES.load(&host, ALL);
    let serving = Serving::start(&host);
    let kept = serving.submit("?wait=30", &deeds("kept", "write /out/a x")).is(200).json();
    let upload = serving.ask("POST /api/v1/files?name=a", Some(serving.token()), b"x").is(201);
    let job = json!({ "executor": NEVER_ENDS.name(), "max_attempts": 1 });
    let id = serving.submit("", &job).is(202).json()["id"].as_str().unwrap().to_owned();
    serving.until(|| count(&host, "work") == 3);
    serving.kill();
    assert_eq!(count(&host, "work"), 3);
    // What a crash between the files and their rows leaves.
    fs::create_dir_all(host.data().join("files/j_0000000000001/t_0000000000002")).unwrap();
    fs::write(host.data().join("files/j_0000000000001/t_0000000000002/a"), "x").unwrap();
    fs::write(host.data().join("uploads").join("ab".repeat(32)), "x").unwrap();
    fs::write(host.data().join("uploads/1-2.new"), "x").unwrap();
    let serving = Serving::start(&host);
    assert_eq!(serving.ended(&id)["tasks"][0]["fault"]["code"], "host-lost");
    assert_eq!(count(&host, "work"), 0);
    assert_eq!(count(&host, "files"), 3, "what the completed task left stays");
    assert_eq!(count(&host, "uploads"), 1);
    assert_eq!(upload.json()["name"], "a");
    let path = format!("/api/v1/jobs/{}/files/kept/a", kept["id"].as_str().unwrap());
    assert_eq!(serving.get(&path).is(200).body(), b"x");
}

#[test]
fn a_cancelled_attempt_leaves_no_folder() {
    let host = TestHost::new();
    let asks = "capabilities: { fs: { out: write, scratch: 1MiB } }\nlimits: { timeout: 60s }";
    NEVER_ENDS.load(&host, asks);
    let serving = Serving::start(&host);
    let job = serving.submit("", &json!({ "executor": NEVER_ENDS.name() })).is(202).json();
    serving.until(|| count(&host, "work") == 3);
    let cancel = format!("POST /api/v1/jobs/{}/cancel", job["id"].as_str().unwrap());
    serving.ask(&cancel, Some(serving.token()), b"").is(200);
    serving.until(|| count(&host, "work") == 0);
}
