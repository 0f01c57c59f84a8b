//! Logs in to a mail server for a guest, which never sees what it logs in with.
//!
//! It says EHLO and AUTH (RFC 4954), and nothing else of SMTP: the guest goes on from there.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Egress;
use super::dial::{Connection, Peer};
use super::wire::Stream;
use crate::secret::{Needles, Placeholder};

/// The longest line of an answer. RFC 5321, section 4.5.3.1.5, says 512.
const LINE_BYTES_MAX: usize = 2048;
/// The most lines of an answer.
const LINES_MAX: usize = 64;
/// The longest name that a server is greeted with, as long as a domain can be.
const CLIENT_BYTES_MAX: usize = 255;
/// The answer to a login that is taken.
const LOGGED_IN: u16 = 235;
/// The answer that asks for the next word of a login.
const GO_ON: u16 = 334;

/// How a server is shown a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// Both at once.
    Plain,
    /// One after the other.
    Login,
}

impl Mechanism {
    /// All of them, the best first.
    const ALL: [Self; 2] = [Self::Plain, Self::Login];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// Who logs in, as the guest says it: with placeholders.
#[derive(Debug)]
pub(crate) struct Login {
    /// The name that the server is greeted with.
    pub(crate) client: String,
    /// None for the best that the server offers.
    pub(crate) mechanism: Option<Mechanism>,
    /// The name of the user.
    pub(crate) user: String,
    /// Their password.
    pub(crate) password: String,
}

/// Why a server did not take a login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unauthenticated {
    /// A secret does not belong there, or could be overheard. What would allow it.
    Denied(String),
    /// A secret cannot be read.
    Unavailable(String),
    /// It cannot be written down, or the connection was used before.
    Invalid(String),
    /// The server offers no mechanism that is wanted.
    Unsupported(String),
    /// The server refuses, with this code and these words.
    Rejected { code: u16, text: String },
    /// The connection was lost, or what came is not SMTP.
    Broken(String),
}

impl Egress {
    /// Logs in over a connection that the guest has not spoken through since it was made or secured.
    /// What a guest said before could make the server take the login for something else: for a part
    /// of a mail, for example.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn authenticate(
        &self,
        connection: Connection,
        login: Login,
    ) -> Result<Connection, Unauthenticated> {
        check(&connection, &login).map_err(|text| Unauthenticated::Invalid(text.to_owned()))?;
        let broken = |text: &str| Unauthenticated::Broken(text.to_owned());
        let (to, mut stream) =
            connection.into_parts().ok_or_else(|| broken("the connection is closed"))?;
        if !to.is_secured && !to.is_loopback {
            let (host, port) = (&to.host, to.port);
            let denial = format!(
                "a login at {host}:{port} was refused: in the clear, everybody on the way could \
                 read the password; use TLS"
            );
            return Err(Unauthenticated::Denied(self.deny(&denial)));
        }
        let user = self.filled(&login.user, &to).await?;
        let password = self.filled(&login.password, &to).await?;
        let within = self.limits.connect_timeout;
        let talk = Talk { stream: &mut *stream, login: &login, user: &user, password: &password };
        match timeout(within, talk.log_in(!to.has_begun)).await {
            Ok(Ok(())) => Ok(Connection::new(Peer { has_begun: true, ..to }, stream)),
            // A server may repeat what it was told.
            Ok(Err(Unauthenticated::Rejected { code, text })) => {
                Err(Unauthenticated::Rejected { code, text: self.secrets.redact(text) })
            }
            Ok(Err(other)) => Err(other),
            Err(_) => Err(broken("it took longer than `limits.connect_timeout`")),
        }
    }

    /// Fills in the secrets of a text, all of which must belong to this server.
    async fn filled(&self, text: &str, to: &Peer) -> Result<String, Unauthenticated> {
        let mut values = Vec::new();
        for placeholder in self.secrets.placeholders() {
            let Placeholder { name, text: stands } = placeholder;
            if !text.contains(stands.as_str()) {
                continue;
            }
            if !self.secrets.belongs_at(name, &to.host, to.port) {
                let denial = self.secrets.stray(name, &format!("tcp://{}:{}", to.host, to.port));
                return Err(Unauthenticated::Denied(self.deny(&denial)));
            }
            let value = self.secrets.read(name).await.map_err(|reason| {
                Unauthenticated::Unavailable(format!(
                    "the secret `{name}` cannot be read: {reason}"
                ))
            })?;
            values.push((stands.clone().into_bytes(), value.expose().as_bytes().to_owned()));
        }
        let filled = Needles::new(values).replace(text.as_bytes());
        Ok(filled.map_or(text.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Says why a login cannot be tried.
fn check(connection: &Connection, login: &Login) -> Result<(), &'static str> {
    let Login { client, user, password, .. } = login;
    if connection.is_taken {
        return Err("the streams of the connection were taken since it was made or secured");
    }
    let is_name = !client.is_empty()
        && client.len() <= CLIENT_BYTES_MAX
        && client.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name {
        return Err("the name to greet the server with must be 1 to 255 visible ASCII characters");
    }
    // A NUL would end one of them in the middle.
    if [user, password].iter().any(|text| text.is_empty() || text.contains('\0')) {
        return Err("the name of a user and a password are texts without NUL, and not empty");
    }
    Ok(())
}

/// One login, once all is known.
struct Talk<'a> {
    stream: &'a mut dyn Stream,
    login: &'a Login,
    user: &'a str,
    password: &'a str,
}

impl Talk<'_> {
    async fn log_in(mut self, is_greeted: bool) -> Result<(), Unauthenticated> {
        if is_greeted {
            self.hear(|code| code == 220).await?;
        }
        let hello = format!("EHLO {}", self.login.client);
        let offered = self.ask(&hello, |code| code == 250).await?;
        match self.choose(&offered)? {
            Mechanism::Plain => {
                let words = STANDARD.encode(format!("\0{}\0{}", self.user, self.password));
                self.ask(&format!("AUTH PLAIN {words}"), |code| code == LOGGED_IN).await?;
            }
            Mechanism::Login => {
                self.ask("AUTH LOGIN", |code| code == GO_ON).await?;
                self.ask(&STANDARD.encode(self.user), |code| code == GO_ON).await?;
                self.ask(&STANDARD.encode(self.password), |code| code == LOGGED_IN).await?;
            }
        }
        Ok(())
    }

    /// Takes the mechanism that is wanted, or the best that the server offers.
    fn choose(&self, offered: &str) -> Result<Mechanism, Unauthenticated> {
        // Some servers write `AUTH=`, as old clients wanted it.
        let lines = offered.lines().map(str::to_ascii_uppercase).filter_map(|line| {
            let words = line.strip_prefix("AUTH")?;
            words.starts_with([' ', '=']).then(|| words[1..].to_owned())
        });
        let offered = lines.collect::<Vec<_>>().join(" ");
        let is_offered = |one: &Mechanism| offered.split(' ').any(|name| name == one.name());
        let mut wanted = Mechanism::ALL
            .into_iter()
            .filter(|one| self.login.mechanism.is_none_or(|wanted| wanted == *one));
        wanted.find(is_offered).ok_or(Unauthenticated::Unsupported(offered))
    }

    /// Says a line and hears the answer.
    async fn ask(
        &mut self,
        line: &str,
        is_expected: impl Fn(u16) -> bool,
    ) -> Result<String, Unauthenticated> {
        let line = format!("{line}\r\n");
        self.stream.write_all(line.as_bytes()).await.map_err(|error| lost(&error))?;
        self.stream.flush().await.map_err(|error| lost(&error))?;
        self.hear(is_expected).await
    }

    /// Hears an answer: lines of one code, of which the last has a space after it.
    async fn hear(&mut self, is_expected: impl Fn(u16) -> bool) -> Result<String, Unauthenticated> {
        let mut text = Vec::new();
        for _ in 0..LINES_MAX {
            let line = self.line().await?;
            let (code, rest) = line.split_at_checked(3).unwrap_or((&line, ""));
            let code: u16 = code.parse().map_err(|_| strange(&line))?;
            if !(100..600).contains(&code) || !(rest.is_empty() || rest.starts_with([' ', '-'])) {
                return Err(strange(&line));
            }
            text.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                let text = text.join("\n");
                let is_expected = is_expected(code);
                return is_expected
                    .then_some(text.clone())
                    .ok_or(Unauthenticated::Rejected { code, text });
            }
        }
        Err(Unauthenticated::Broken(format!("an answer has more than {LINES_MAX} lines")))
    }

    /// Reads a line, and nothing beyond it: what follows is the guest's.
    async fn line(&mut self) -> Result<String, Unauthenticated> {
        let mut line = Vec::new();
        loop {
            match self.stream.read_u8().await.map_err(|error| lost(&error))? {
                b'\n' => break,
                byte => line.push(byte),
            }
            if line.len() > LINE_BYTES_MAX {
                let text = format!("a line of an answer has more than {LINE_BYTES_MAX} bytes");
                return Err(Unauthenticated::Broken(text));
            }
        }
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }
}

fn lost(error: &io::Error) -> Unauthenticated {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Unauthenticated::Broken("the server hung up".to_owned());
    }
    Unauthenticated::Broken(format!("the connection was lost: {error}"))
}

/// Says that a line is not SMTP, without the line: it may hold anything.
fn strange(line: &str) -> Unauthenticated {
    Unauthenticated::Broken(format!("a line of {} bytes is no answer in SMTP", line.len()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::egress::{Outside, tls::Tls};
    use crate::fixture::{self, OneSecret};

    const HOST: &str = "mail.example";
    const ASKS: &str = "capabilities: { tcp: [\"*:*\"], secrets: [key] }";
    const GREETING: (&str, &str) = ("", "220 hello");
    const OFFER: (&str, &str) = ("EHLO me.example", "250-mail.example\r\n250 AUTH LOGIN PLAIN");

    /// Lets a guest log in at a server that hears and says these lines in turn.
    async fn log_in(
        lines: &[(&str, &str)],
        mechanism: Option<Mechanism>,
        to: Option<&str>,
        password: &str,
    ) -> Result<Connection, Unauthenticated> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let outside = Outside::new(Tls::default(), move |_, port| {
            Ok(vec![SocketAddr::new(address.ip(), port)])
        });
        let pattern = to.map_or(format!("{HOST}:{}", address.port()), str::to_owned);
        let grants = ["tcp=*:*", "net=127.0.0.0/8", "secret=key"];
        let secret = OneSecret::to_tcp(&pattern);
        let egress = fixture::egress_with_secret(ASKS, &grants, outside, secret);
        let stands = egress.secrets.get("key").unwrap();
        let login = Login {
            client: "me.example".to_owned(),
            mechanism,
            user: "me".to_owned(),
            password: password.replace("KEY", &stands),
        };
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for (heard, said) in lines {
                if !heard.is_empty() {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    if line.is_empty() {
                        return;
                    }
                    assert_eq!(line, format!("{heard}\r\n"));
                }
                stream.write_all(format!("{said}\r\n").as_bytes()).await.unwrap();
            }
        };
        let calling = async {
            let connection = egress.dial(HOST, address.port()).await.unwrap();
            egress.authenticate(connection, login).await
        };
        tokio::join!(serving, calling).1
    }

    #[tokio::test]
    async fn a_server_is_shown_the_value_and_the_guest_holds_a_placeholder() {
        let plain = format!("AUTH PLAIN {}", STANDARD.encode("\0me\x001234567890"));
        let taken = [GREETING, OFFER, (&plain, "235 welcome")];
        assert!(log_in(&taken, None, None, "KEY").await.is_ok());
        let (user, password) = (STANDARD.encode("me"), STANDARD.encode(OneSecret::VALUE));
        let login = [
            GREETING,
            OFFER,
            ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
            (&user, "334 UGFzc3dvcmQ6"),
            (&password, "235 welcome"),
        ];
        assert!(log_in(&login, Some(Mechanism::Login), None, "KEY").await.is_ok());
    }

    #[tokio::test]
    async fn what_a_server_repeats_of_a_password_is_not_told() {
        let plain = format!("AUTH PLAIN {}", STANDARD.encode("\0me\x001234567890"));
        let refused = [GREETING, OFFER, (&plain, "535-wrong\r\n535 1234567890")];
        let refused = log_in(&refused, None, None, "KEY").await.err().unwrap();
        let text = "wrong\n[secret key]".to_owned();
        assert_eq!(refused, Unauthenticated::Rejected { code: 535, text });
    }

    #[tokio::test]
    async fn a_secret_is_shown_to_no_server_that_it_does_not_belong_to() {
        let refused = log_in(&[GREETING], None, Some("other.example:25"), "KEY").await;
        let Unauthenticated::Denied(text) = refused.err().unwrap() else { panic!() };
        assert!(text.contains("it belongs to `other.example:25`"), "{text}");
        assert!(text.starts_with("the secret `key` was not sent to tcp://mail.example:"), "{text}");
    }

    #[tokio::test]
    async fn what_is_not_offered_or_not_smtp_is_told_apart() {
        let cases = [
            (("EHLO me.example", "250-mail\r\n250 AUTH GSSAPI"), "GSSAPI"),
            (("EHLO me.example", "250 mail"), ""),
        ];
        for (offer, offered) in cases {
            let refused = log_in(&[GREETING, offer], None, None, "KEY").await.err().unwrap();
            assert_eq!(refused, Unauthenticated::Unsupported(offered.to_owned()));
        }
        let long = "2".repeat(LINE_BYTES_MAX + 2);
        let endless = "220-x\r\n".repeat(LINES_MAX + 1);
        for said in ["SSH-2.0-OpenSSH", "99 x", "220+x", &long, &endless] {
            let refused = log_in(&[("", said)], None, None, "KEY").await.err().unwrap();
            assert!(matches!(refused, Unauthenticated::Broken(_)), "{said}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn a_login_cannot_be_slipped_into_words_of_the_guest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let egress = fixture::egress(ASKS, &["tcp=127.0.0.1:*"], Outside::default());
        let login = |client: &str, user: &str| Login {
            client: client.to_owned(),
            mechanism: None,
            user: user.to_owned(),
            password: "in clear words".to_owned(),
        };
        let mut connection = egress.dial("127.0.0.1", port).await.unwrap();
        drop(connection.streams());
        let refused = egress.authenticate(connection, login("me", "me")).await.err().unwrap();
        assert!(matches!(refused, Unauthenticated::Invalid(text) if text.contains("were taken")));
        for (client, user) in [("", "me"), ("a b", "me"), ("a\r\nb", "me"), ("me", "a\0b")] {
            let connection = egress.dial("127.0.0.1", port).await.unwrap();
            let refused = egress.authenticate(connection, login(client, user)).await;
            assert!(matches!(refused.err().unwrap(), Unauthenticated::Invalid(_)), "{client:?}");
        }
    }

    #[tokio::test]
    async fn a_password_goes_off_this_machine_in_tls_alone() {
        let egress = fixture::egress(ASKS, &[], Outside::default());
        let to = Peer {
            host: HOST.to_owned(),
            port: 25,
            is_loopback: false,
            is_secured: false,
            has_begun: false,
        };
        let (own, _other) = tokio::io::duplex(64);
        let login = Login {
            client: "me".to_owned(),
            mechanism: None,
            user: "me".to_owned(),
            password: "in clear words".to_owned(),
        };
        let refused = egress.authenticate(Connection::new(to, Box::new(own)), login).await;
        let Unauthenticated::Denied(text) = refused.err().unwrap() else { panic!() };
        assert!(text.starts_with("a login at mail.example:25 was refused: in the clear"), "{text}");
    }
}
