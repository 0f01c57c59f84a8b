//! The table of the keys of `config.yaml`: the file, `config list`, `config explain`, the JSON Schema
//! and the guide all have them from here.

use serde_json::json;

use crate::proxy::ProxyHeader;
use crate::schema::{Key, Shape};

/// A number of days, or `never`.
const DAYS: Shape = Shape::Either(&[Shape::Count(1, 36_500), Shape::Word(|| vec!["never"])]);
/// How many tasks may run at once.
const RUNNING: Shape = Shape::Count(1, 1_000_000);

/// The keys of the file: a section a line.
pub(super) static TOP: [Key; 23] = [
    Key::new(
        "admin_token",
        Shape::Text,
        "The operator's token for the HTTP API, 32 characters or more.",
    )
    .secret()
    .otherwise("made at the first `serve`"),
    Key::new("auth", Shape::Section(&AUTH), "What else opens the HTTP API."),
    Key::new("http", Shape::Section(&HTTP), "How the host listens for HTTP."),
    Key::new(
        "attempts_max",
        Shape::Count(1, 1_024),
        "How many attempts run at once in this process.",
    )
    .or(|| json!(128)),
    Key::new(
        "idempotency_hours",
        Shape::Count(1, 8_760),
        "For how many hours an idempotency key stands for its job.",
    )
    .or(|| json!(24)),
    Key::new("breakers", Shape::Section(&BREAKERS), "When what keeps failing is left alone."),
    Key::new("concurrency", Shape::Section(&CONCURRENCY), "How many tasks run at once."),
    Key::new("admission", Shape::Section(&ADMISSION), "How many tasks may be open."),
    Key::new(
        "lease_seconds",
        Shape::Count(3, 300),
        "For how many seconds the tasks of a host stay its own after it was last heard of.",
    )
    .or(|| json!(15)),
    Key::new(
        "quarantine",
        Shape::Section(&QUARANTINE),
        "When a component is not run any more because hosts ended while it ran.",
    ),
    Key::new("retention", Shape::Section(&RETENTION), "How long what is over is kept."),
    Key::new("tools", Shape::Section(&TOOLS), "How tools are taken care of."),
    Key::new("audit", Shape::Section(&AUDIT), "What is written into the audit."),
    Key::new("telemetry", Shape::Section(&TELEMETRY), "What the host says of itself, and to whom."),
    Key::new("files", Shape::Section(&FILES), "How much callers may upload."),
    Key::new("models", Shape::Section(&MODELS), "Who provides language models."),
    Key::new("webhook_secret", Shape::Text, "What the posts of cost policies are signed with.")
        .secret()
        .otherwise("none"),
    Key::new("api_server_url", Shape::Text, "The server that verbs of the command line go to.")
        .variable("APFLOW_API_SERVER")
        .otherwise("none: the data directory"),
    Key::new("api_token", Shape::Text, "What is shown to it.")
        .secret()
        .variable("APFLOW_API_AUTH_TOKEN")
        .otherwise("none"),
    Key::new(
        "api_timeout",
        Shape::Count(1, 3_600),
        "For how many seconds a request to it may take.",
    )
    .or(|| json!(30)),
    Key::new("api_retry_count", Shape::Count(0, 10), "How often a request to it is repeated.")
        .or(|| json!(3)),
    Key::new("api_ca_file", Shape::Text, "A PEM file with the authority of its certificate.")
        .otherwise("those that the system knows"),
    Key::new(
        "api_fallback",
        Shape::Flag,
        "Whether the data directory is used when it is not reached.",
    )
    .or(|| json!(false)),
];

static MODELS: [Key; 1] = [Key::new(
    "providers",
    Shape::Named(&Shape::Section(&PROVIDER)),
    "The providers by the name that a model has before its `/`.",
)
.otherwise("those whose variables are set")];

static PROVIDER: [Key; 3] = [
    Key::new("kind", Shape::Word(provider_kinds), "Which protocol it speaks.")
        .otherwise("known of those that are well known"),
    Key::new("base_url", Shape::Text, "Where it is.")
        .otherwise("known of those that are well known"),
    Key::new("secret", Shape::Text, "The secret of `secrets.yaml` that opens it.")
        .otherwise("none, or the key of its variable"),
];

static AUTH: [Key; 7] = [
    Key::new(
        "jwt_secrets",
        Shape::List(&Shape::Text),
        "What signs JSON web tokens, 32 to 4096 bytes each: the first signs, and each verifies. The \
         variable adds one in front.",
    )
    .secret()
    .variable("APFLOW_JWT_SECRET")
    .otherwise("made at the first `serve`"),
    Key::new("jwt_issuer", Shape::Text, "What `iss` of such a token must be.").otherwise("anything"),
    Key::new("jwt_audience", Shape::Text, "What `aud` of such a token must be.")
        .otherwise("anything"),
    Key::new(
        "leeway_seconds",
        Shape::Count(0, 300),
        "How many seconds the clocks of issuers may be off.",
    )
    .or(|| json!(60)),
    Key::new(
        "api_keys",
        Shape::List(&Shape::Section(&API_KEY)),
        "Keys that were made elsewhere. The variable adds more, as `KEY:ROLE,KEY:ROLE`.",
    )
    .secret()
    .variable("APFLOW_API_KEYS")
    .otherwise("none"),
    Key::new("oidc", Shape::Section(&OIDC), "A provider of identities (OpenID Connect)."),
    Key::new(
        "guesses_per_minute",
        Shape::Count(2, 1_000_000),
        "How many wrong tokens an address may show in a minute.",
    )
    .or(|| json!(20)),
];

static API_KEY: [Key; 3] = [
    Key::new("token", Shape::Text, "The key: 16 to 4096 visible ASCII characters.").needed(),
    Key::new("role", Shape::Text, "The role of whoever shows it.").needed(),
    Key::new("name", Shape::Text, "Who shows it.").otherwise("made up from the key's hash"),
];

static OIDC: [Key; 5] = [
    Key::new("issuer", Shape::Text, "Its address, as its tokens have it in `iss`.").needed(),
    Key::new(
        "audience",
        Shape::Text,
        "The name of this host at it, as its tokens have it in `aud`.",
    )
    .needed(),
    Key::new("role_claim", Shape::Text, "The claim with the roles: a name, or a JSON pointer.")
        .or(|| json!("role")),
    Key::new("roles", Shape::Named(&Shape::Text), "The role for each value of that claim.")
        .needed(),
    Key::new("jwks_url", Shape::Text, "Where its keys are.").otherwise("it says so itself"),
];

static HTTP: [Key; 15] = [
    Key::new("tls", Shape::Section(&TLS), "The certificate and key for TLS."),
    Key::new(
        "behind_proxy",
        Shape::Flag,
        "Whether a proxy in front of the host speaks TLS, so that it may listen without on an open \
         address.",
    )
    .or(|| json!(false)),
    Key::new(
        "trusted_proxies",
        Shape::List(&Shape::Text),
        "The addresses of proxies that are believed when they say whose request they pass on.",
    )
    .otherwise("none"),
    Key::new("proxy_header", Shape::Word(proxy_headers), "Where all of them say so.")
        .or(|| json!(ProxyHeader::default().name())),
    Key::new(
        "hosts",
        Shape::List(&Shape::Text),
        "The names that clients may call the host by, beside `localhost` and addresses.",
    )
    .otherwise("none"),
    Key::new(
        "origins",
        Shape::List(&Shape::Text),
        "The web pages that may use the API from a browser, such as `https://app.example.com`.",
    )
    .otherwise("none"),
    Key::new("connections_max", Shape::Count(1, 1_000_000), "How many connections are open at once.")
        .otherwise("half of what the limit of open files leaves after 512, from 64 to 16384"),
    Key::new(
        "connections_per_address_max",
        Shape::Count(1, 1_000_000),
        "How many of them are of one address, or of one /64 of IPv6.",
    )
    .otherwise("three quarters of all"),
    Key::new(
        "head_seconds",
        Shape::Count(1, 3_600),
        "How many seconds the head of a request may take, and a TLS handshake.",
    )
    .or(|| json!(10)),
    Key::new(
        "head_bytes_max",
        Shape::Count(1_024, 1_048_576),
        "How many bytes the head of a request may have.",
    )
    .or(|| json!(32_768)),
    Key::new("headers_max", Shape::Count(16, 1_000), "How many headers a request may have.")
        .or(|| json!(100)),
    Key::new(
        "idle_seconds",
        Shape::Count(1, 3_600),
        "For how many seconds a connection may be open without a request.",
    )
    .or(|| json!(75)),
    Key::new(
        "patience_seconds",
        Shape::Count(1, 3_600),
        "For how many seconds a client may keep the host waiting.",
    )
    .or(|| json!(30)),
    Key::new(
        "bytes_per_second_min",
        Shape::Count(1, 1_000_000),
        "How many bytes a second a client must move while the host waits for it.",
    )
    .or(|| json!(500)),
    Key::new(
        "drain_seconds",
        Shape::Count(0, 3_600),
        "For how many seconds running attempts may go on once the host is asked to end; 0 stops them \
         at once.",
    )
    .or(|| json!(30)),
];

fn provider_kinds() -> Vec<&'static str> {
    vec!["anthropic", "ollama", "openai"]
}

fn proxy_headers() -> Vec<&'static str> {
    vec![ProxyHeader::XForwardedFor.name(), ProxyHeader::Forwarded.name()]
}

static TLS: [Key; 2] = [
    Key::new("certificate", Shape::Text, "A PEM file with the certificate of the host.")
        .needed()
        .otherwise("plain HTTP"),
    Key::new("key", Shape::Text, "A PEM file with its private key.")
        .needed()
        .otherwise("plain HTTP"),
];

static BREAKERS: [Key; 2] = [
    Key::new("executors", BREAKER, "The rule of breakers that guard executors.")
        .otherwise("the rule below"),
    Key::new("destinations", BREAKER, "The rule of breakers that guard destinations.")
        .otherwise("the rule below"),
];

const BREAKER: Shape =
    Shape::Either(&[Shape::Word(|| vec!["off"]), Shape::Flag, Shape::Section(&RULE)]);

static RULE: [Key; 4] = [
    Key::new("failures", Shape::Count(1, 1_000), "How many failures in a row open it.")
        .or(|| json!(5)),
    Key::new("open_seconds", Shape::Count(1, 86_400), "For how many seconds it is open at first.")
        .or(|| json!(60)),
    Key::new(
        "open_seconds_max",
        Shape::Count(1, 86_400),
        "For how many seconds it is open at most, no fewer than `open_seconds`.",
    )
    .otherwise("600, or `open_seconds` if that is longer"),
    Key::new("probes", Shape::Count(1, 10), "How many probes go through at once.").or(|| json!(1)),
];

static CONCURRENCY: [Key; 3] = [
    Key::new(
        "executors",
        Shape::Named(&RUNNING),
        "How many tasks of an executor run at once, by its name.",
    )
    .otherwise("no limit"),
    Key::new(
        "principals",
        Shape::Named(&RUNNING),
        "How many tasks of a principal run at once, by its name.",
    )
    .otherwise("`concurrency.principal`"),
    Key::new("principal", RUNNING, "How many tasks of each other principal run at once.")
        .otherwise("no limit"),
];

static ADMISSION: [Key; 2] = [
    Key::new(
        "tasks_open_max",
        Shape::Count(1, 1_000_000_000),
        "How many tasks may be open: stored, and not ended.",
    )
    .or(|| json!(1_000_000)),
    Key::new(
        "tasks_open_max_per_principal",
        Shape::Count(1, 1_000_000_000),
        "How many of them may be of one principal.",
    )
    .otherwise("no limit"),
];

static QUARANTINE: [Key; 2] = [
    Key::new(
        "sessions_lost",
        Shape::Count(0, 4_294_967_295),
        "In how many lost sessions a component must have been running; 0 for never.",
    )
    .or(|| json!(5)),
    Key::new("within_minutes", Shape::Count(1, 1_440), "Within how many minutes.").or(|| json!(60)),
];

static RETENTION: [Key; 6] = [
    Key::new("charges_days", DAYS, "For how many days a charge is kept from its call.")
        .or(|| json!(400)),
    Key::new("completed_days", DAYS, "For how many days a completed job is kept from its end.")
        .or(|| json!(30)),
    Key::new("failed_days", DAYS, "For how many days a failed job is kept from its end.")
        .or(|| json!(90)),
    Key::new("cancelled_days", DAYS, "For how many days a cancelled job is kept from its end.")
        .or(|| json!(30)),
    Key::new(
        "uploads_days",
        DAYS,
        "For how many days an upload is kept from the moment that it came or a job last named it.",
    )
    .or(|| json!(30)),
    Key::new(
        "checkpoints_hours",
        Shape::Count(0, 8_760),
        "For how many hours the checkpoints of a completed task are kept from its end; 0 drops them \
         with it.",
    )
    .or(|| json!(0)),
];

static TOOLS: [Key; 3] = [
    Key::new(
        "cache_results_max",
        Shape::Count(0, 1_000_000),
        "How many results of tools are kept to be given again; 0 keeps none.",
    )
    .or(|| json!(10_000)),
    Key::new("cache_mib_max", Shape::Count(1, 1_048_576), "How many MiB of them.").or(|| json!(64)),
    Key::new(
        "health_seconds",
        Shape::Count(0, 86_400),
        "For how many seconds a look at the health of a tool is good.",
    )
    .or(|| json!(30)),
];

static AUDIT: [Key; 2] = [
    Key::new("days", DAYS, "For how many days a line is kept.").or(|| json!(90)),
    Key::new(
        "reads",
        Shape::Flag,
        "Whether calls that only read have lines when they were allowed.",
    )
    .or(|| json!(true)),
];

static TELEMETRY: [Key; 6] = [
    Key::new("log", Shape::Text, "What the log on standard error holds, such as `info`; `--log` wins.")
        .variable("APFLOW_LOG")
        .otherwise("`info` of `serve` and `worker`, `warn` of others"),
    Key::new(
        "log_format",
        Shape::Word(|| vec!["text", "json"]),
        "How the lines of the log are written; `--log-format` wins.",
    )
    .variable("APFLOW_LOG_FORMAT")
    .or(|| json!("text")),
    Key::new("metrics", Shape::Word(|| vec!["open", "token", "off"]), "Who may read `/metrics`.")
        .otherwise("`open` on a loopback address, else `token`"),
    Key::new(
        "metrics_address",
        Shape::Text,
        "Where `/metrics`, `/health` and `/ready` are answered besides, without a token: an address \
         with its port.",
    )
    .otherwise("nowhere"),
    Key::new("propagate", Shape::Flag, "Whether the HTTP requests of guests carry `traceparent`.")
        .or(|| json!(false)),
    Key::new("otlp", Shape::Section(&OTLP), "Where spans and metrics are sent."),
];

static OTLP: [Key; 4] = [
    Key::new("endpoint", Shape::Text, "The address of the collector.")
        .needed()
        .otherwise("what `OTEL_EXPORTER_OTLP_ENDPOINT` says, else none"),
    Key::new("headers", Shape::Named(&Shape::Text), "Up to 16 headers that are sent along.")
        .secret()
        .otherwise("what `OTEL_EXPORTER_OTLP_HEADERS` says, else none"),
    Key::new("sample", Shape::Share, "The share of traces that is sent.").or(|| json!(1)),
    Key::new(
        "metrics_seconds",
        Shape::Count(0, 3_600),
        "How many seconds there are between two times that metrics are sent; 0 for never.",
    )
    .otherwise("what `OTEL_METRIC_EXPORT_INTERVAL` says, else 60"),
];

static FILES: [Key; 3] = [
    Key::new(
        "size_mib_max",
        Shape::Count(1, 1_048_576),
        "How many MiB one uploaded file may have.",
    )
    .or(|| json!(1_024)),
    Key::new(
        "mib_max_per_principal",
        Shape::Count(1, 1_048_576),
        "How many MiB the uploads of one caller may have together.",
    )
    .or(|| json!(10_240)),
    Key::new(
        "files_max_per_principal",
        Shape::Count(1, 100_000),
        "How many uploads one caller may have.",
    )
    .or(|| json!(10_000)),
];
