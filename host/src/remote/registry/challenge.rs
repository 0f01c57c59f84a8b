//! What a registry wants to be shown: the header `WWW-Authenticate` of a 401, as RFC 9110 has it in
//! section 11.6.1.
//!
//! Of the schemes that there are, it knows `Basic` and the `Bearer` of registries, whose token another
//! server gives out.

/// What a registry wants to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token.
    Bearer {
        /// The URL of who gives it out.
        realm: String,
        /// For whom it is.
        service: Option<String>,
        /// What it is for.
        scope: Option<String>,
    },
    /// A name and a password.
    Basic,
}

impl Challenge {
    /// Finds what can be shown among what is wanted: a token rather than a password.
    pub(super) fn find<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut wanted: Vec<_> = headers.flat_map(read).filter_map(Self::of).collect();
        wanted.sort_by_key(|challenge| matches!(challenge, Self::Basic));
        wanted.into_iter().next()
    }

    fn of((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Self> {
        let find = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer {
                realm: find("realm")?,
                service: find("service"),
                scope: find("scope"),
            }),
            _ => None,
        }
    }
}

/// Reads the challenges of a header, each with its parameters.
fn read(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut challenges: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for item in items(header) {
        // A scheme may stand before a parameter, which never has a space in its name.
        let name = item.split('=').next().unwrap_or_default();
        let (scheme, parameter) = match name.trim().split_once(' ') {
            Some((scheme, _)) => (Some(scheme), item[scheme.len()..].trim()),
            None if item.contains('=') => (None, item),
            None => (Some(item), ""),
        };
        if let Some(scheme) = scheme {
            challenges.push((scheme.to_owned(), Vec::new()));
        }
        if let (Some((_, parameters)), Some((name, value))) =
            (challenges.last_mut(), parameter.split_once('='))
        {
            parameters.push((name.trim().to_owned(), unquoted(value.trim())));
        }
    }
    challenges
}

/// The parts of a header between its commas, but for those in quotes.
fn items(header: &str) -> Vec<&str> {
    let (mut items, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, c) in header.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                items.push(header[begin..index].trim());
                begin = index + 1;
            }
            _ => {}
        }
    }
    items.push(header[begin..].trim());
    items.retain(|item| !item.is_empty());
    items
}

/// A value without its quotes and escapes.
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let Some(inner) = inner else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(headers: &[&str]) -> Option<Challenge> {
        Challenge::find(headers.iter().copied())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
        Challenge::Bearer { realm: realm.to_owned(), service, scope }
    }

    #[test]
    fn a_token_is_wanted_from_a_realm_for_a_service_and_a_scope() {
        let said = r#"Bearer realm="https://auth.test/token",service="reg.test",scope="repository:a/b:pull,push""#;
        let all =
            bearer("https://auth.test/token", Some("reg.test"), Some("repository:a/b:pull,push"));
        assert_eq!(find(&[said]).as_ref(), Some(&all));
        let spaced = r#"bEARER  Scope="repository:a/b:pull,push" , SERVICE=reg.test, realm = "https://auth.test/token""#;
        assert_eq!(find(&[spaced]), Some(all));
        assert_eq!(
            find(&[r#"Bearer realm="a\"b\\c", service="""#]),
            Some(bearer(r#"a"b\c"#, None, None))
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let token = Some(bearer("https://auth.test", None, None));
        assert_eq!(find(&[r#"Basic realm="a, b", Bearer realm="https://auth.test""#]), token);
        assert_eq!(find(&["Basic realm=x", r#"Bearer realm="https://auth.test""#]), token);
        assert_eq!(find(&["Negotiate, Basic"]), Some(Challenge::Basic));
        assert_eq!(find(&["Negotiate abc==, Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for wrong in
            ["", ",,", "Bearer", "Bearer service=x", "Digest realm=x", "realm=x", "\"", "="]
        {
            assert_eq!(find(&[wrong]), None, "{wrong}");
        }
    }
}
