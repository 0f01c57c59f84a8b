//! The few parts of a URL that a request needs (RFC 3986). It resolves nothing and knows only
//! `http` and `https`, the latter with and without verification.

use std::fmt::Write;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// Over TLS, whoever answers.
    HttpsInsecure,
}

impl Scheme {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::HttpsInsecure => "https+insecure",
        }
    }
}

/// An absolute URL without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) authority: String,
    pub(crate) path_and_query: String,
}

impl Url {
    /// Reads `text`; what is not allowed in a path or a query is percent-encoded.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("the URL does not start with `http://` or `https://`".to_owned());
        };
        let own = scheme.to_ascii_lowercase();
        let scheme = [Scheme::Http, Scheme::Https, Scheme::HttpsInsecure]
            .into_iter()
            .find(|known| known.name() == own)
            .ok_or_else(|| format!("scheme `{scheme}` is neither `http` nor `https`"))?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        let path_and_query = match path_and_query.strip_prefix('?') {
            Some(query) => encoded(&format!("/?{query}"), is_in_url),
            None if path_and_query.is_empty() => "/".to_owned(),
            None => encoded(path_and_query, is_in_url),
        };
        Ok(Self { scheme, authority: checked_authority(authority)?, path_and_query })
    }

    /// Adds `name=value` to the query.
    pub(crate) fn add_query(&mut self, name: &str, value: &str) {
        let separator = match self.path_and_query.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        let (name, value) = (encoded(name, is_unreserved), encoded(value, is_unreserved));
        // Writing to a String cannot fail.
        _ = write!(self.path_and_query, "{separator}{name}={value}");
    }

    /// The scheme and the authority, without anything that could be a secret.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.authority)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin(), self.path_and_query)
    }
}

fn checked_authority(authority: &str) -> Result<String, String> {
    if authority.contains('@') {
        return Err("the URL holds a user; send an `authorization` header instead".to_owned());
    }
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let host = authority.strip_suffix(|c: char| c.is_ascii_digit()).unwrap_or(authority);
    let host = host.trim_end_matches(|c: char| c.is_ascii_digit());
    if authority.is_empty() || host == ":" {
        return Err("the URL has no host".to_owned());
    }
    if !authority.chars().all(fits) {
        return Err(format!("host `{authority}` is malformed; write other scripts as Punycode"));
    }
    Ok(authority.to_ascii_lowercase())
}

fn encoded(text: &str, is_plain: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The `unreserved` of RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a path or a query; `%` too, since the text may be encoded already.
fn is_in_url(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/?%[]|".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Url::parse(text).unwrap().to_string()
    }

    #[test]
    fn a_url_keeps_its_parts() {
        assert_eq!(
            parsed("https://example.com:8443/a/b?c=d#e"),
            "https://example.com:8443/a/b?c=d"
        );
        assert_eq!(parsed("HTTP://Example.com"), "http://example.com/");
        assert_eq!(parsed("https+insecure://a:8443"), "https+insecure://a:8443/");
        assert_eq!(parsed("http://[::1]:80?x"), "http://[::1]:80/?x");
    }

    #[test]
    fn what_does_not_belong_in_a_path_is_encoded_once() {
        assert_eq!(parsed("http://a/ü b%20c"), "http://a/%C3%BC%20b%20c");
    }

    #[test]
    fn query_pairs_are_encoded_and_joined() {
        let mut url = Url::parse("http://a/?").unwrap();
        url.add_query("q", "a&b=ü");
        url.add_query("page", "2");
        assert_eq!(url.path_and_query, "/?q=a%26b%3D%C3%BC&page=2");
        let mut url = Url::parse("http://a/b").unwrap();
        url.add_query("x", "");
        assert_eq!(url.path_and_query, "/b?x=");
    }

    #[test]
    fn a_malformed_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("example.com", "does not start with"),
            ("ftp://example.com", "scheme `ftp`"),
            ("http://", "no host"),
            ("http://:80/", "no host"),
            ("http://me:secret@example.com", "holds a user"),
            ("http://exämple.com", "Punycode"),
            ("http://a b/", "malformed"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
