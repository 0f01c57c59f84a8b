//! HTML of Markdown, by the specification of `CommonMark`.

use std::io::{self, Write};

use pulldown_cmark::html::write_html_io;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag};

/// How Markdown is read, and what becomes of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dialect {
    /// Whether the extensions of GitHub are read: tables, task lists, footnotes and what is struck
    /// through.
    pub(crate) is_gfm: bool,
    /// Whether HTML in the text is shown as text, and links run no script.
    pub(crate) is_safe: bool,
}

impl Dialect {
    fn options(self) -> Options {
        if !self.is_gfm {
            return Options::empty();
        }
        Options::ENABLE_TABLES
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_FOOTNOTES
    }
}

/// Writes the HTML of `text`.
pub(crate) fn write(text: &str, output: &mut dyn Write, dialect: Dialect) -> io::Result<()> {
    let events = Parser::new_ext(text, dialect.options());
    if dialect.is_safe {
        write_html_io(output, events.map(made_safe))
    } else {
        write_html_io(output, events)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else runs a script")]
fn made_safe(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: safe_url(dest_url), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Image { link_type, dest_url: safe_url(dest_url), title, id })
        }
        other => other,
    }
}

/// The URL, or none when it may run a script: only schemes that are known not to are kept.
fn safe_url(url: CowStr<'_>) -> CowStr<'_> {
    let scheme = url.split(['/', '?', '#']).next().and_then(|start| start.split_once(':'));
    let is_safe = scheme.is_none_or(|(scheme, _)| {
        ["http", "https", "mailto"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
    });
    if is_safe { url } else { CowStr::Borrowed("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str, is_gfm: bool, is_safe: bool) -> String {
        let mut output = Vec::new();
        write(text, &mut output, Dialect { is_gfm, is_safe }).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn markdown_becomes_html() {
        assert_eq!(html("# A *b*", false, false), "<h1>A <em>b</em></h1>\n");
        assert_eq!(html("<b>x</b>", false, false), "<p><b>x</b></p>\n");
    }

    #[test]
    fn extensions_are_read_when_asked_for() {
        let table = "| a |\n|---|\n| ~~b~~ |\n";
        assert!(html(table, true, false).contains("<td><del>b</del></td>"));
        assert!(!html(table, false, false).contains("<table>"));
    }

    #[test]
    fn a_safe_text_runs_no_script() {
        let text = "<script>x</script>\n\n[a](JavaScript:x) ![b](data:x) [c](/d:e) [f](https://g)";
        let html = html(text, false, true);
        assert!(html.contains("&lt;script&gt;"), "{html}");
        for link in ["<a href=\"\">a</a>", "<img src=\"\"", "href=\"/d:e\"", "href=\"https://g\""] {
            assert!(html.contains(link), "{link}: {html}");
        }
    }
}
