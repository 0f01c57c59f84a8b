//! Paths of HTTP requests: their normal form, and prefixes of it.

use std::fmt;

/// Brings the path of a request into the form that rules are about and that is sent: the segments
/// `.` and `..` are gone, however their dots were written.
///
/// By [RFC 3986, 5.2.4](https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4), with `%2e` read as
/// a dot, as servers do.
///
/// # Errors
///
/// A sentence, when the path does not begin with `/`, or holds what servers read differently: a
/// backslash, a fragment, a blank or a control character.
pub fn normal_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("the path `{path}` does not begin with `/`"));
    }
    if let Some(odd) = path.chars().find(|c| matches!(c, '\\' | '#' | '?' | ' ') || c.is_control())
    {
        return Err(format!("the path holds {odd:?}, which servers do not agree about"));
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            Dots::None => kept.push(segment),
            Dots::One | Dots::Two => {
                if matches!(dots(segment), Dots::Two) {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

enum Dots {
    None,
    One,
    Two,
}

fn dots(segment: &str) -> Dots {
    // Most segments are longer than `%2e%2e`.
    if segment.len() > 6 {
        return Dots::None;
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => Dots::One,
        ".." => Dots::Two,
        _ => Dots::None,
    }
}

/// A prefix of paths, by whole segments. Empty for every path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PathPrefix(String);

impl PathPrefix {
    /// Whether a normal path begins with the prefix.
    ///
    /// A path with an encoded slash or backslash is in no prefix but the empty one: servers that
    /// decode it see other segments.
    pub(super) fn matches(&self, path: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let lower = path.to_ascii_lowercase();
        if lower.contains("%2f") || lower.contains("%5c") {
            return false;
        }
        self.holds(path)
    }

    fn holds(&self, path: &str) -> bool {
        match path.strip_prefix(self.0.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || self.0.ends_with('/'),
            None => false,
        }
    }

    /// Whether some path has both prefixes.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_empty = self.0.is_empty() || other.0.is_empty();
        is_empty || self.holds(&other.0) || other.holds(&self.0)
    }

    /// Whether every path with the other prefix has this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.0.is_empty() || (!other.0.is_empty() && self.holds(&other.0))
    }

    /// Reads what stands after the port: nothing, `/`, or a normal path.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text == "/" {
            return Ok(Self::default());
        }
        let prefix = normal_path(text)?;
        if prefix != text {
            return Err(format!("the path `{text}` is written `{prefix}`"));
        }
        let lower = prefix.to_ascii_lowercase();
        if prefix.contains('*') || lower.contains("%2f") || lower.contains("%5c") {
            return Err(format!(
                "the path `{text}` is a prefix of whole segments: no `*`, and no encoded slash"
            ));
        }
        Ok(Self(prefix))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn dot_segments_are_gone_however_they_are_written() {
        for (from, to) in [
            ("/v1/items", "/v1/items"),
            ("/v1/../admin", "/admin"),
            ("/v1/%2e%2E/admin", "/admin"),
            ("/v1/.%2e", "/"),
            ("/v1/./items/.", "/v1/items/"),
            ("/../../x", "/x"),
            ("/", "/"),
            ("/a//b", "/a//b"),
            ("/...", "/..."),
        ] {
            assert_eq!(normal_path(from).unwrap(), to, "{from}");
        }
        for wrong in ["", "v1", "/a\\..\\b", "/a b", "/a#b", "/a\nb"] {
            assert!(normal_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_holds_whole_segments() {
        let prefix = PathPrefix::parse("/v1").unwrap();
        assert!(prefix.matches("/v1") && prefix.matches("/v1/") && prefix.matches("/v1/items"));
        assert!(!prefix.matches("/v10") && !prefix.matches("/") && !prefix.matches("/V1"));
        let below = PathPrefix::parse("/v1/").unwrap();
        assert!(below.matches("/v1/items") && !below.matches("/v1"));
    }

    #[test]
    fn an_encoded_slash_is_in_no_prefix() {
        let prefix = PathPrefix::parse("/v1").unwrap();
        assert!(!prefix.matches("/v1/..%2fadmin") && !prefix.matches("/v1/..%5Cadmin"));
        assert!(PathPrefix::default().matches("/v1/..%2fadmin"));
    }

    #[test]
    fn a_prefix_that_is_not_normal_is_refused() {
        for wrong in ["/v1/../x", "/v1/*", "/v1?x", "/a b", "/v1%2fx"] {
            assert!(PathPrefix::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_as_it_is(path in "/[a.%2eE/]{0,20}") {
            let normal = normal_path(&path).unwrap();
            prop_assert_eq!(&normal_path(&normal).unwrap(), &normal);
            let is_dots = |segment: &str| !matches!(dots(segment), Dots::None);
            prop_assert!(!normal.split('/').any(is_dots));
        }
    }
}
