//! The header `Link` (RFC 8288), as far as it leads to a next page.

/// The address of the next page.
pub(crate) fn next(headers: &[(String, String)]) -> Option<String> {
    let values = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link"));
    values.into_iter().find_map(|(_, value)| next_of(value))
}

fn next_of(value: &str) -> Option<String> {
    split(value, ',').into_iter().find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = split(parameters, ';').into_iter().any(leads_on);
        is_next.then(|| address.trim().to_owned())
    })
}

/// Splits a text where the separator stands neither in quotes nor in an address.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped, mut is_address) = (false, false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' if !is_address => is_quoted = !is_quoted,
            '<' if !is_quoted => is_address = true,
            '>' if !is_quoted => is_address = false,
            _ if c == separator && !is_quoted && !is_address => {
                parts.push(&text[start..place]);
                start = place + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn leads_on(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel")
        && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        next(&[("Link".to_owned(), value.to_owned())])
    }

    #[test]
    fn the_next_page_is_found_among_other_links() {
        for value in [
            r#"<https://a.example/?page=2>; rel="next""#,
            r#"<https://a.example/>; rel="first", <https://a.example/?page=2>; rel=next"#,
            r#"<x>; rel="last"; title="a, b \" <y>; rel=next", <https://a.example/?page=2>;REL="up Next""#,
        ] {
            assert_eq!(read(value).as_deref(), Some("https://a.example/?page=2"), "{value}");
        }
    }

    #[test]
    fn without_a_next_page_there_is_none() {
        for value in
            ["", "<a>; rel=prev", "<a>", "rel=next", "<a; rel=next", r#"<a>; x="rel=next""#]
        {
            assert_eq!(read(value), None, "{value}");
        }
        let twice = [("link", "<a>; rel=prev"), ("Link", "<b>; rel=next")];
        let twice = twice.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(next(&twice).as_deref(), Some("b"));
    }
}
