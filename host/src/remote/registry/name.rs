//! The name of an image in a registry, as it is typed: `ghcr.io/owner/name:1.2`,
//! `localhost:5000/name@sha256:…`, or either after `oci://`.
//!
//! No registry is taken for granted, and no tag: what is loaded is what was named.

use std::fmt;
use std::str::FromStr;

use apflow_model::plugin::Digest;

use crate::remote::url::ServerUrl;

/// What may stand before a name.
const SCHEME: &str = "oci://";
/// How a digest begins.
const SHA256: &str = "sha256:";
/// The longest name of a repository with its registry, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// The name of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageName {
    /// As it is typed, with its port.
    pub(super) registry: String,
    /// Where the registry is.
    pub(super) server: ServerUrl,
    /// The name of the repository there.
    pub(super) repository: String,
    /// Which of its images.
    pub(super) version: Version,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    /// The one that the registry calls so now.
    Tag(String),
    /// The one whose manifest has this digest.
    Digest(Digest),
}

impl ImageName {
    /// What one looks like.
    pub(crate) const EXPECTED: &str = "`REGISTRY/NAME:TAG` or `REGISTRY/NAME@sha256:DIGEST`, for \
         example `ghcr.io/owner/name:1.2` or `oci://localhost:5000/name:1.2`";

    /// Whether a text can be nothing else.
    pub(crate) fn is_meant_by(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The same image for good: whatever its tag will be.
    pub(super) fn pinned(&self, digest: Digest) -> Self {
        Self { version: Version::Digest(digest), ..self.clone() }
    }
}

impl Version {
    /// As it stands in a path of the registry.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Digest(digest) => digest_word(*digest),
        }
    }
}

/// A digest as registries write it.
pub(super) fn digest_word(digest: Digest) -> String {
    format!("{SHA256}{digest}")
}

/// Reads a digest as registries write it. None when it is another.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix(SHA256)?;
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex { digits.parse().ok() } else { None }
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let (registry, rest) = rest.split_once('/').ok_or("it names no registry")?;
        let server = server(registry).ok_or_else(|| {
            format!("`{registry}` is no registry: expected a name with a dot or a port")
        })?;
        let (rest, pinned) = match rest.split_once('@') {
            Some((rest, text)) => {
                let wrong = || format!("`{text}` is no digest: expected `{SHA256}` and 64 digits");
                (rest, Some(digest(text).ok_or_else(wrong)?))
            }
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) if is_tag(tag) => (repository, Some(tag)),
            Some((_, tag)) => return Err(format!("`{tag}` is no tag")),
            None => (rest, None),
        };
        let version = match (pinned, tag) {
            // A digest says all that the tag could.
            (Some(digest), _) => Version::Digest(digest),
            (None, Some(tag)) => Version::Tag(tag.to_owned()),
            (None, None) => return Err("it has neither a tag nor a digest".to_owned()),
        };
        let is_short = registry.len() + repository.len() < NAME_BYTES_MAX;
        if !is_short || !repository.split('/').all(is_part) {
            return Err(format!(
                "`{repository}` is no name of a repository: expected small letters, digits, and \
                 `.`, `_`, `-` and `/` between them"
            ));
        }
        let repository = match (is_hub(registry), repository.contains('/')) {
            (true, false) => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        Ok(Self { registry: registry.to_owned(), server, repository, version })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = match self.version {
            Version::Tag(_) => ':',
            Version::Digest(_) => '@',
        };
        write!(formatter, "{}/{}{between}{}", self.registry, self.repository, self.version.word())
    }
}

/// Where a registry answers: in plain text on this machine, else in TLS. None when the text does not
/// look like one, as a folder does not.
fn server(registry: &str) -> Option<ServerUrl> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let is_name = registry.contains(['.', ':']) || registry == "localhost";
    if !is_name || registry.starts_with('.') || !registry.bytes().all(is_plain) {
        return None;
    }
    let place = if is_hub(registry) { "registry-1.docker.io" } else { registry };
    let plain: ServerUrl = format!("http://{place}").parse().ok()?;
    if plain.is_here() { Some(plain) } else { format!("https://{place}").parse().ok() }
}

/// Whether it is the registry of Docker, which answers under another name and has repositories of its
/// own in `library`.
fn is_hub(registry: &str) -> bool {
    registry == "docker.io"
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// Whether a text may stand between two slashes of a repository.
fn is_part(text: &str) -> bool {
    let is_word = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z');
    text.bytes().next().is_some_and(is_word)
        && text.bytes().last().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || b"._-".contains(&byte))
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn read(text: &str) -> ImageName {
        text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    #[test]
    fn an_image_is_named_by_its_registry_its_repository_and_a_tag_or_a_digest() {
        for (text, server, repository, word) in [
            ("ghcr.io/owner/name:1.2", "https://ghcr.io", "owner/name", "1.2"),
            ("oci://ghcr.io/owner/name:1.2", "https://ghcr.io", "owner/name", "1.2"),
            ("oci.example:5000/a/b/c:_x", "https://oci.example:5000", "a/b/c", "_x"),
            (&format!("localhost:5000/name@{DIGEST}"), "http://localhost:5000", "name", DIGEST),
            (&format!("ghcr.io/o/n:1@{DIGEST}"), "https://ghcr.io", "o/n", DIGEST),
            ("docker.io/jq:1", "https://registry-1.docker.io", "library/jq", "1"),
            ("docker.io/me/jq:1", "https://registry-1.docker.io", "me/jq", "1"),
        ] {
            let read = read(text);
            assert_eq!(read.server.to_string(), server, "{text}");
            assert_eq!((&*read.repository, &*read.version.word()), (repository, word), "{text}");
        }
        let pinned = read("ghcr.io/o/n:1").pinned(digest(DIGEST).unwrap());
        assert_eq!(pinned.to_string(), format!("ghcr.io/o/n@{DIGEST}"));
        assert_eq!(read(&pinned.to_string()), pinned);
    }

    #[test]
    fn only_a_registry_on_this_machine_is_asked_in_plain_text() {
        for (text, is_plain) in [
            ("localhost/a:1", true),
            ("127.0.0.1:5000/a:1", true),
            ("[::1]:5000/a:1", true),
            ("10.0.0.1:5000/a:1", false),
            ("localhost.example:80/a:1", false),
        ] {
            let server = read(text).server.to_string();
            assert_eq!(server.starts_with("http://"), is_plain, "{server}");
        }
    }

    #[test]
    fn what_may_be_a_path_or_lacks_something_is_no_image() {
        let short = format!("ghcr.io/a@{}", &DIGEST[..70]);
        let large = format!("ghcr.io/a@{}", DIGEST.replace('9', "F"));
        let long = format!("ghcr.io/{}:1", "a".repeat(NAME_BYTES_MAX));
        for text in [
            "",
            "name",
            "./name:1",
            "../plugins/name:1",
            ".hidden/name:1",
            "/plugins/name:1",
            "plugins/name:1",
            "ghcr.io",
            "ghcr.io/owner/name",
            "ghcr.io/owner/name:",
            "ghcr.io/owner/name:a b",
            "ghcr.io/owner/name:1:2",
            "ghcr.io/owner/name:.1",
            "ghcr.io/Owner/name:1",
            "ghcr.io/owner//name:1",
            "ghcr.io/owner/../name:1",
            "ghcr.io/owner/-name:1",
            "ghcr.io/:1",
            "me@ghcr.io/name:1",
            "ghcr.io:port/name:1",
            "https://ghcr.io/name:1",
            "oci://name:1",
            "ghcr.io/a@sha512:00",
            &short,
            &large,
            &long,
        ] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
    }
}
