//! Addresses of people: what is written in a header, and what a server is told.

use std::str::FromStr;

use email_address::{EmailAddress, Options};

/// The longest name beside an address, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// An address, perhaps with a name: `shop@example.com`, `The Shop <shop@example.com>`.
///
/// It is ASCII but for its name, and holds no control characters: nothing in it ends a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The name for people.
    pub name: Option<String>,
    /// The address itself.
    pub address: String,
    at: usize,
}

impl Mailbox {
    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        &self.address[self.at + 1..]
    }
}

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("holds a line break or another control character".to_owned());
        }
        let options = Options::default().without_domain_literal();
        let read = EmailAddress::parse_with_options(text.trim(), options)
            .map_err(|error| format!("is no address like `shop@example.com`: {error}"))?;
        let address = read.email();
        if !address.is_ascii() {
            let advice = "write a domain such as `münchen.example` as `xn--mnchen-3ya.example`";
            return Err(format!("has characters that not every server knows; {advice}"));
        }
        let name = read.display_part().trim().trim_matches('"').to_owned();
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("has a name of more than {NAME_BYTES_MAX} bytes"));
        }
        let at = address.rfind('@').ok_or("has no `@`")?;
        Ok(Self { name: (!name.is_empty()).then_some(name), address, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_name() {
        let read = |text: &str| text.parse::<Mailbox>().unwrap();
        assert_eq!(read(" shop@example.com").name, None);
        assert_eq!(read("shop@example.com").domain(), "example.com");
        for text in ["Der Löwe <shop@example.com>", "\"Der Löwe\" <shop@example.com>"] {
            let mailbox = read(text);
            assert_eq!(mailbox.name.as_deref(), Some("Der Löwe"), "{text}");
            assert_eq!(mailbox.address, "shop@example.com");
        }
    }

    #[test]
    fn what_could_end_a_line_or_confuse_a_server_is_no_address() {
        for text in [
            "",
            "shop",
            "shop@",
            "@example.com",
            "a@b@example.com",
            "shop@example.com>",
            "shop@example.com, other@example.com",
            "shop@example.com\r\nRCPT TO:<other@example.com>",
            "A\nBcc: other@example.com <shop@example.com>",
            "shop@[127.0.0.1]",
            "shop@münchen.example",
            "löwe@example.com",
            "sh op@example.com",
        ] {
            assert!(text.parse::<Mailbox>().is_err(), "{text:?}");
        }
    }
}
