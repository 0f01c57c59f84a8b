//! Plugins that are loaded from a registry of images, and what keeps one out.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::guests::{BEHAVES, READS_UNGRANTED_VARIABLES, path};
use crate::host::TestHost;
use crate::server::{Hit, Reply, Server};
use crate::serving::Serving;

const IMAGE_KIND: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST: &str = "name: own\nversion: 1.0.0\ndescription: A guest.\ncomponent: own.wasm\n";

/// What a registry has: bytes by the end of their path, such as `manifests/1` and `blobs/sha256:…`.
#[derive(Default, Clone)]
struct Store(BTreeMap<String, Vec<u8>>);

impl Store {
    /// A store with an image of these files, by name, kind and bytes, under the tag `1`.
    fn with(files: &[(&str, &str, &[u8])]) -> Self {
        let mut store = Self::default();
        let layers: Vec<Value> = files.iter().map(|file| store.add_layer(file)).collect();
        store.tag("1", &json!({ "schemaVersion": 2, "mediaType": IMAGE_KIND, "layers": layers }));
        store
    }

    /// A store with a plugin as `oras push` leaves it.
    fn with_plugin(manifest: &str, component: &[u8]) -> Self {
        Self::with(&[
            ("own.wasm", "application/wasm", component),
            ("plugin.yaml", "application/vnd.oci.image.layer.v1.tar", manifest.as_bytes()),
        ])
    }

    fn add_layer(&mut self, (name, kind, bytes): &(&str, &str, &[u8])) -> Value {
        let digest = digest(bytes);
        self.0.insert(format!("blobs/{digest}"), bytes.to_vec());
        json!({
            "mediaType": kind, "digest": digest, "size": bytes.len(),
            "annotations": { "org.opencontainers.image.title": name },
        })
    }

    fn tag(&mut self, tag: &str, document: &Value) -> String {
        let bytes = document.to_string().into_bytes();
        let digest = digest(&bytes);
        self.0.insert(format!("manifests/{digest}"), bytes.clone());
        self.0.insert(format!("manifests/{tag}"), bytes);
        digest
    }

    /// What is under a tag.
    fn digest(&self, tag: &str) -> String {
        digest(&self.0[&format!("manifests/{tag}")])
    }

    /// What it answers.
    fn reply(&self, hit: &Hit) -> Reply {
        let found = hit.path.strip_prefix("/v2/a/own/").and_then(|path| self.0.get(path));
        match found {
            Some(bytes) => Reply::text(200, bytes.clone()),
            None => error(404, "MANIFEST_UNKNOWN"),
        }
    }

    fn serve(self) -> Server {
        Server::start(move |hit| self.reply(hit))
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex = apflow_model::plugin::Digest(Sha256::digest(bytes).into());
    format!("sha256:{hex}")
}

/// A refusal as registries write it.
fn error(status: u16, code: &str) -> Reply {
    let body = json!({ "errors": [{ "code": code, "message": "as it is" }] }).to_string();
    Reply::text(status, body)
}

/// The image under the tag `1`.
fn image(server: &Server) -> String {
    format!("127.0.0.1:{}/a/own:1", server.port())
}

#[test]
fn an_image_is_loaded_by_its_tag_and_by_its_digest_and_runs() {
    let store = Store::with_plugin(MANIFEST, &BEHAVES.component());
    let pinned = store.digest("1");
    let server = store.serve();
    let (tagged, place) = (image(&server), format!("127.0.0.1:{}/a/own", server.port()));
    let host = TestHost::new();
    let loaded = host.run(&["load", &tagged]).succeeds();
    assert!(loaded.stdout.starts_with("own 1.0.0 (command) loaded"), "{}", loaded.stdout);
    loaded.says(&[&format!("{tagged} is {place}@{pinned}")]);
    host.run(&["run", "own"]).succeeds();
    for again in
        [format!("{place}@{pinned}"), format!("oci://{tagged}"), format!("{tagged}@{pinned}")]
    {
        let loaded = host.run(&["load", &again, "--json"]).succeeds();
        assert_eq!(loaded.json()["plugin"]["manifest"]["name"], "own");
        assert_eq!(loaded.stderr, "");
    }
    for hit in server.hits() {
        assert_eq!((&*hit.method, hit.headers.get("authorization")), ("GET", None));
    }
}

#[test]
fn a_tool_and_the_image_for_webassembly_of_an_index_are_loaded() {
    let tool = "name: own\nversion: 1.0.0\ndescription: A tool.\ncategory: data\n";
    let sends = format!(
        "{tool}run: {{ request: {{ url: \"https://a.test/\" }} }}\n\
                         capabilities: {{ http: [\"https://a.test\"] }}\n"
    );
    let runs = format!("{tool}run: {{ command: own.wasm }}\n");
    let tool_kind = "application/vnd.apflow.tool.v1+yaml";
    let host = TestHost::new();
    let requests = Store::with(&[("it.yaml", tool_kind, sends.as_bytes())]).serve();
    host.run(&["load", &image(&requests)]).succeeds();
    let mut store = Store::with(&[
        ("other.wasm", "application/wasm", b"\0asm"),
        ("own.wasm", "application/vnd.wasm.content.layer.v1+wasm", &BEHAVES.component()),
        ("tool.yaml", "text/plain", runs.as_bytes()),
    ]);
    let ours = store.digest("1");
    let on = |architecture: &str, digest: &str| json!({ "digest": digest, "size": 1, "platform": { "architecture": architecture } });
    let images = [on("amd64", &digest(b"")), on("wasm", &ours)];
    store.tag("1", &json!({ "schemaVersion": 2, "manifests": images }));
    let commands = store.serve();
    host.run(&["load", &image(&commands)]).succeeds().says(&[ours.as_str()]);
    host.run(&["tools", "run", "own"]).succeeds();
}

#[test]
fn what_must_be_typed_again_names_the_digest_that_was_looked_at() {
    let asking = |version: u32, env: &str| {
        let manifest = MANIFEST.replace("1.0.0", &format!("{version}.0.0"));
        let manifest = format!("{manifest}capabilities: {{ env: [{env}] }}\n");
        Store::with_plugin(&manifest, &READS_UNGRANTED_VARIABLES.component())
    };
    let (first, more) = (asking(1, "LANG"), asking(2, "LANG, HOME"));
    let pinned = more.digest("1");
    let now = Arc::new(Mutex::new(first));
    let shown = Arc::clone(&now);
    let server = Server::start(move |hit| shown.lock().unwrap().reply(hit));
    let host = TestHost::new();
    host.run(&["load", &image(&server), "--yes"]).succeeds();
    *now.lock().unwrap() = more;
    let again = format!("127.0.0.1:{}/a/own@{pinned}", server.port());
    host.run(&["load", &image(&server)])
        .exits(3)
        .says(&["consent-needed", &format!("apflow-host load {again} --yes")]);
    host.run(&["load", &again, "--yes"]).succeeds();
}

#[test]
fn before_a_server_the_command_line_pulls() {
    let server = Store::with_plugin(MANIFEST, &BEHAVES.component()).serve();
    let host = TestHost::new();
    let serving = Serving::start(&host);
    host.run(&["load", &image(&server)]).succeeds();
    let shown = serving.get("/api/v1/plugins/own").is(200).json();
    assert_eq!(shown["manifest"]["version"], "1.0.0");
}

/// A registry that wants this shown, and what gives out tokens to whoever shows `allowed`.
fn guarded(wants: &'static str, opens: &'static str, allowed: Option<&'static str>) -> Server {
    let store = Store::with_plugin(MANIFEST, &BEHAVES.component());
    Server::start(move |hit| {
        let shown = hit.headers.get("authorization").map(String::as_str);
        let host = &hit.headers["host"];
        if hit.path.starts_with("/token?") {
            assert_eq!(hit.path, "/token?scope=repository%3Aa%2Fown%3Apull&service=reg");
            return if shown == allowed {
                Reply::json(&json!({ "token": "t0k3n", "expires_in": 60 }))
            } else {
                error(403, "DENIED")
            };
        }
        if shown == Some(opens) {
            return store.reply(hit);
        }
        error(401, "UNAUTHORIZED").with("WWW-Authenticate", wants.replace("HOST", host))
    })
}

const BEARER: &str = "Bearer realm=\"http://HOST/token\",service=\"reg\",\
                      scope=\"repository:a/own:pull\"";
/// `me:pw`
const BASIC: &str = "Basic bWU6cHc=";

/// A folder with the logins of Docker.
fn logins(server: &Server, auth: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let registry = format!("127.0.0.1:{}", server.port());
    let config = json!({ "auths": { registry: { "auth": auth } } });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn a_registry_that_wants_a_token_or_a_password_is_shown_one() {
    let host = TestHost::new();
    let anonymous = guarded(BEARER, "Bearer t0k3n", None);
    host.run(&["load", &image(&anonymous)]).succeeds();
    let asked: Vec<String> = anonymous.hits().into_iter().map(|hit| hit.path).collect();
    let tokens = asked.iter().filter(|path| path.starts_with("/token?")).count();
    assert_eq!((tokens, asked.len()), (1, 5), "{asked:?}");
    for (wants, opens) in [(BEARER, "Bearer t0k3n"), ("Basic realm=\"reg\"", BASIC)] {
        let server = guarded(wants, opens, Some(BASIC));
        let image = image(&server);
        let load = |logins: &TempDir| {
            host.run_with(&["load", &image], "", &[("DOCKER_CONFIG", path(logins))])
        };
        load(&logins(&server, "bWU6cHc=")).succeeds();
        load(&logins(&server, "bWU6bm8=")).exits(3).says(&["error[registry-refused]: "]);
        host.run(&["load", &image]).exits(3).says(&[
            "error[registry-refused]: ",
            "no login is known",
            "docker login",
        ]);
        let helper = TempDir::new().unwrap();
        fs::write(helper.path().join("config.json"), r#"{"credsStore": "desktop"}"#).unwrap();
        load(&helper).exits(3).says(&["`docker-credential-desktop`, which is not asked"]);
        let broken = logins(&server, "not base64");
        let error = load(&broken).exits(70).says(&["config.json", "base64"]);
        assert!(!error.stderr.contains("not base64"), "{}", error.stderr);
    }
}

#[test]
fn what_is_kept_elsewhere_is_had_there_and_is_shown_nothing() {
    let component = BEHAVES.component();
    let bytes = component.clone();
    let elsewhere = Server::start(move |_| Reply::text(200, bytes.clone()));
    let store = Store::with_plugin(MANIFEST, &component);
    let (blob, to) = (format!("/v2/a/own/blobs/{}", digest(&component)), elsewhere.url("/x?y=1"));
    let server = Server::start(move |hit| match hit.headers.get("authorization") {
        None => error(401, "UNAUTHORIZED").with("WWW-Authenticate", "Basic realm=x"),
        Some(_) if hit.path == blob => Reply::status(307).with("Location", to.as_str()),
        Some(_) => store.reply(hit),
    });
    let (host, logins) = (TestHost::new(), logins(&server, "bWU6cHc="));
    let known = [("DOCKER_CONFIG", path(&logins))];
    host.run_with(&["load", &image(&server)], "", &known).succeeds();
    let hits = elsewhere.hits();
    let [hit] = &hits[..] else { panic!("it is asked once") };
    assert_eq!((&*hit.path, hit.headers.get("authorization")), ("/x?y=1", None));
}

#[test]
fn nobody_is_sent_in_plain_text_to_another_machine_nor_round_and_round() {
    let host = TestHost::new();
    for (to, says) in [
        ("http://registry.test/v2/", "`http://registry.test`: plain HTTP"),
        ("/v2/a/own/manifests/1", "it sends on and on"),
        ("ftp://registry.test/", "this is no URL"),
    ] {
        let server = Server::start(move |_| Reply::status(302).with("Location", to));
        host.run(&["load", &image(&server)]).exits(4).says(&["error[foreign-registry]: ", says]);
        assert!(server.hits().len() < 10, "{}", server.hits().len());
    }
    let away = "Bearer realm=\"http://tokens.test/\"";
    let server = Server::start(move |_| error(401, "NO").with("WWW-Authenticate", away));
    host.run(&["load", &image(&server)]).exits(4).says(&["`http://tokens.test`: plain HTTP"]);
    host.holds_nothing();
}

#[test]
fn bytes_that_are_not_what_their_digest_says_are_not_loaded() {
    let component = BEHAVES.component();
    let good = Store::with_plugin(MANIFEST, &component);
    let (manifest, blob) = (good.digest("1"), format!("blobs/{}", digest(&component)));
    let host = TestHost::new();
    let spoilt = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut store = good.clone();
        spoil(store.0.get_mut(&blob).unwrap());
        store.serve()
    };
    for server in [
        spoilt(&|bytes| bytes[100] ^= 1),
        spoilt(&|bytes| bytes.truncate(100)),
        spoilt(&|bytes| bytes.push(0)),
    ] {
        host.run(&["load", &image(&server)]).exits(1).says(&[
            "error[image-altered]: ",
            "`own.wasm`",
            "is not what its digest says",
        ]);
    }
    let mut other = good.clone();
    other.0.get_mut(&format!("manifests/{manifest}")).unwrap().push(b'\n');
    let server = other.serve();
    let pinned = format!("127.0.0.1:{}/a/own@{manifest}", server.port());
    host.run(&["load", &pinned]).exits(1).says(&["error[image-altered]: ", "the manifest"]);
    host.holds_nothing();
}

#[test]
fn an_image_that_is_no_plugin_is_refused_for_what_it_lacks() {
    let (component, host) = (BEHAVES.component(), TestHost::new());
    let file = ("own.wasm", "application/wasm", &component[..]);
    let definition = ("plugin.yaml", "text/yaml", MANIFEST.as_bytes());
    for (files, says) in [
        (&[][..], "none of its 0 layers is a component"),
        (&[("a.tar", "application/vnd.oci.image.layer.v1.tar+gzip", &b"x"[..])], "none of its 1"),
        (&[definition], "none of its layers is a component"),
        (&[file, definition, definition], "more than one `plugin.yaml`"),
        (&[file, ("plugin.yaml", "text/yaml", b"\xff")], "is not UTF-8 text"),
    ] {
        let server = Store::with(files).serve();
        host.run(&["load", &image(&server)]).exits(1).says(&["error[invalid-image]: ", says]);
    }
    // A component alone is what it is on disk as well, and so is a manifest with a fault.
    let alone = Store::with(&[file]).serve();
    host.run(&["load", &image(&alone)])
        .exits(1)
        .says(&["error[missing-manifest]: ", "this one would do:\n\nname: "]);
    let faulty = MANIFEST.replace("version", "versoin");
    let server = Store::with_plugin(&faulty, &component).serve();
    let place = format!("{}/plugin.yaml is not valid", image(&server));
    host.run(&["load", &image(&server)]).exits(1).says(&["error[invalid-manifest]: ", &place]);
    host.holds_nothing();
}

#[test]
fn a_registry_that_has_it_not_or_is_none_is_told_apart() {
    let host = TestHost::new().with_settings("api_retry_count: 0\n");
    let load = |server: &Server| host.run(&["load", &image(server)]);
    let empty = Store::default().serve();
    load(&empty).exits(1).says(&["error[unknown-image]: there is no `127.0.0.1:", "as it is"]);
    let mut store = Store::with_plugin(MANIFEST, &BEHAVES.component());
    store.0.retain(|path, _| path.starts_with("manifests/"));
    load(&store.serve()).exits(1).says(&["error[unknown-image]: ", "its layer `sha256:"]);
    for (status, body) in
        [(404, "<html>no such page</html>"), (200, "<html>hello</html>"), (500, "")]
    {
        let page = Server::start(move |_| Reply::text(status, body));
        load(&page).exits(4).says(&["error[foreign-registry]: ", "not as a registry does"]);
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error =
        host.run(&["load", &format!("localhost:{port}/a/own:1"), "--json"]).exits(4).error();
    assert_eq!(error["code"], "cannot-connect");
    assert!(error["advice"].as_str().unwrap().contains("registry"), "{error}");
    host.holds_nothing();
}

#[test]
fn what_is_there_wins_and_what_is_neither_a_path_nor_an_image_is_told_both_forms() {
    let host = TestHost::new();
    let folder = BEHAVES.folder("");
    let below = folder.path().join("localhost:1/own:1");
    fs::create_dir_all(&below).unwrap();
    for file in ["plugin.yaml", "behaves.wasm"] {
        fs::rename(folder.path().join(file), below.join(file)).unwrap();
    }
    let mut load = host.command();
    load.current_dir(folder.path()).args(["load", "localhost:1/own:1"]);
    assert!(load.output().unwrap().status.success());
    for typed in ["ghcr.io/owner/name", "plugins/count", "./count:1", "count", "/no/such/place"] {
        host.run(&["load", typed]).exits(1).says(&[
            &format!("`{typed}` is not there: it is no file and no folder"),
            "expected a path, or an image: `REGISTRY/NAME:TAG`",
        ]);
    }
    host.run(&["load", "oci://ghcr.io/owner/name"])
        .exits(2)
        .says(&["names no image in a registry: it has neither a tag nor a digest"]);
}
