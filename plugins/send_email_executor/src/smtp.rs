//! SMTP (RFC 5321) from EHLO to QUIT, over whatever reads and writes.
//!
//! It neither connects nor logs in, and it does not decide whether to send: [`crate::server`] does.

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use apflow_sdk::Fault;

use crate::stuffing::Stuffed;

/// The longest line of an answer. RFC 5321 says 512.
const LINE_BYTES_MAX: u64 = 2048;
/// The most lines of an answer.
const LINES_MAX: usize = 64;
/// How many bytes of a mail go out at once.
const PIECE_BYTES: usize = 32 << 10;

/// What a server answered: a code, and lines of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Such as 250.
    pub code: u16,
    /// The words, without the code.
    pub lines: Vec<String>,
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.lines.join(" "))
    }
}

/// Why a conversation did not go on.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The server said no. What was said to it, and its answer.
    #[error("the server answered `{reply}` to {command}")]
    Refused {
        /// What was said to it.
        command: String,
        /// Its answer.
        reply: Reply,
    },
    /// The connection was lost, or what came is not SMTP.
    #[error("{0}")]
    Broken(String),
}

impl From<io::Error> for SmtpError {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("the connection was lost: {error}"))
    }
}

/// Of a mail that was surely not taken: an answer from 500 up is for good.
impl From<SmtpError> for Fault {
    fn from(error: SmtpError) -> Self {
        match &error {
            SmtpError::Refused { reply, .. } if reply.code >= 500 => {
                Self::permanent(error.to_string())
            }
            SmtpError::Refused { .. } | SmtpError::Broken(_) => Self::retryable(error.to_string()),
        }
    }
}

/// A recipient that the server did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The address.
    pub address: String,
    /// The server's answer.
    pub reply: Reply,
}

/// A conversation with a server.
#[derive(Debug)]
pub struct Session<S> {
    stream: BufReader<S>,
}

impl<S: Read + Write> Session<S> {
    /// Begins over a connection.
    pub fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Gives the connection back. What the server sent and nobody asked for is dropped.
    pub fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// Hears the greeting of a server that was connected to just now.
    ///
    /// # Errors
    ///
    /// An [`SmtpError`] when it does not greet.
    pub fn greeting(&mut self) -> Result<(), SmtpError> {
        self.answer("the connection", |code| code == 220).map(|_| ())
    }

    /// Says who is there, and hears what the server can do.
    ///
    /// # Errors
    ///
    /// An [`SmtpError`] when the server does not want to know.
    pub fn hello(&mut self, client: &str) -> Result<Reply, SmtpError> {
        self.ask(&format!("EHLO {client}"), |code| code == 250)
    }

    /// Asks to go on in TLS, which is up to who holds the connection.
    ///
    /// # Errors
    ///
    /// An [`SmtpError`] when the server does not offer it.
    pub fn start_tls(&mut self) -> Result<(), SmtpError> {
        self.ask("STARTTLS", |code| code == 220).map(|_| ())
    }

    /// Says who sends and who gets a mail. Returns the recipients that the server did not take; when
    /// it took none, that is an error.
    ///
    /// # Errors
    ///
    /// An [`SmtpError`] when the server takes no mail from this sender, or for none of the
    /// recipients: the answer that leaves more hope then.
    pub fn envelope(&mut self, from: &str, to: &[&str]) -> Result<Vec<Refusal>, SmtpError> {
        self.ask(&format!("MAIL FROM:<{from}>"), |code| code == 250)?;
        let mut refusals = Vec::new();
        for address in to {
            match self.ask(&format!("RCPT TO:<{address}>"), |code| matches!(code, 250 | 251)) {
                Ok(_) => {}
                // The server closes the connection: no other recipient will be taken either.
                Err(SmtpError::Refused { command, reply }) if reply.code == 421 => {
                    return Err(SmtpError::Refused { command, reply });
                }
                Err(SmtpError::Refused { reply, .. }) => {
                    refusals.push(Refusal { address: (*address).to_owned(), reply });
                }
                Err(broken) => return Err(broken),
            }
        }
        if refusals.len() < to.len() {
            return Ok(refusals);
        }
        let Some(refusal) = refusals.into_iter().min_by_key(|refusal| refusal.reply.code) else {
            return Err(SmtpError::Broken("there is nobody to send to".to_owned()));
        };
        let command = format!("RCPT TO:<{}>", refusal.address);
        Err(SmtpError::Refused { command, reply: refusal.reply })
    }

    /// Hands a mail over, but for the dot that ends it: until then, the server has taken nothing.
    ///
    /// # Errors
    ///
    /// An [`SmtpError`] when the server does not want it, or the connection is lost.
    pub fn data(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), SmtpError> {
        self.ask("DATA", |code| code == 354)?;
        let mut stuffed =
            Stuffed::new(BufWriter::with_capacity(PIECE_BYTES, self.stream.get_mut()));
        write(&mut stuffed)?;
        Ok(stuffed.finish()?)
    }

    /// Ends the mail, and hears whether the server took it.
    ///
    /// # Errors
    ///
    /// [`SmtpError::Refused`] when it surely did not. After [`SmtpError::Broken`] nobody knows.
    pub fn end_data(&mut self) -> Result<Reply, SmtpError> {
        self.stream.get_mut().write_all(b".\r\n")?;
        self.answer("the mail", |code| code == 250)
    }

    /// Says goodbye, and does not wait for the answer.
    pub fn quit(&mut self) {
        // The mail is taken already: whether this gets through changes nothing.
        drop(self.stream.get_mut().write_all(b"QUIT\r\n"));
    }

    fn ask(&mut self, line: &str, is_expected: impl Fn(u16) -> bool) -> Result<Reply, SmtpError> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.answer(&format!("`{line}`"), is_expected)
    }

    /// Hears an answer: lines of one code, of which the last has a space after it.
    fn answer(
        &mut self,
        command: &str,
        is_expected: impl Fn(u16) -> bool,
    ) -> Result<Reply, SmtpError> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let line = self.line()?;
            let (code, rest) = line.split_at_checked(3).unwrap_or((&line, ""));
            let code = code.parse().ok().filter(|code| (200..600).contains(code));
            let (Some(code), true) = (code, rest.is_empty() || rest.starts_with([' ', '-'])) else {
                return Err(SmtpError::Broken(format!("`{line}` is no answer in SMTP")));
            };
            lines.push(rest.get(1..).unwrap_or_default().trim().to_owned());
            if !rest.starts_with('-') {
                let reply = Reply { code, lines };
                if is_expected(code) {
                    return Ok(reply);
                }
                return Err(SmtpError::Refused { command: command.to_owned(), reply });
            }
        }
        Err(SmtpError::Broken(format!("an answer has more than {LINES_MAX} lines")))
    }

    fn line(&mut self) -> Result<String, SmtpError> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(SmtpError::Broken("the server hung up".to_owned()));
        }
        let Some(line) = line.strip_suffix(b"\n") else {
            let text = format!("an answer was cut, or a line has {LINE_BYTES_MAX} bytes");
            return Err(SmtpError::Broken(text));
        };
        Ok(String::from_utf8_lossy(line).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says this, and whatever it hears.
    struct Canned<'a> {
        says: &'a [u8],
        hears: Vec<u8>,
    }

    impl Read for Canned<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // A byte at a time: an answer may come in pieces.
            let length = self.says.len().min(buffer.len()).min(1);
            buffer[..length].copy_from_slice(&self.says[..length]);
            self.says = &self.says[length..];
            Ok(length)
        }
    }

    impl Write for Canned<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.hears.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn session(says: &str) -> Session<Canned<'_>> {
        Session::new(Canned { says: says.as_bytes(), hears: Vec::new() })
    }

    #[test]
    fn an_answer_has_lines_of_one_code() {
        let reply = session("250-mail.example\r\n250-SIZE 5\n250 HELP\r\n").hello("me").unwrap();
        assert_eq!(reply.to_string(), "250 mail.example SIZE 5 HELP");
        assert_eq!(session("250\r\n").hello("me").unwrap().lines, [""]);
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        let long = format!("250 {}\r\n", "x".repeat(3000));
        let many = "250-x\r\n".repeat(LINES_MAX + 1);
        for said in
            ["", "250", "hello\r\n", "100 x\r\n", "250+x\r\n", "2\u{f6}0 x\r\n", &long, &many]
        {
            let broken = session(said).hello("me").unwrap_err();
            assert!(matches!(broken, SmtpError::Broken(_)), "{said:?}: {broken}");
        }
    }

    #[test]
    fn recipients_that_are_not_taken_are_told_apart() {
        let mut some = session("250 ok\r\n550 no such user\r\n251 will forward\r\n");
        let refusals = some.envelope("me@a.example", &["x@b.example", "y@b.example"]).unwrap();
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].reply.to_string(), "550 no such user");
        assert_eq!(
            some.into_inner().hears,
            b"MAIL FROM:<me@a.example>\r\nRCPT TO:<x@b.example>\r\nRCPT TO:<y@b.example>\r\n"
        );
    }

    #[test]
    fn a_mail_that_nobody_gets_fails_with_the_answer_of_most_hope() {
        for (said, is_retried) in [
            ("250 ok\r\n550 a\r\n450 b\r\n", true),
            ("250 ok\r\n550 a\r\n551 b\r\n", false),
            ("250 ok\r\n421 closing\r\n", true),
            ("452 full\r\n", true),
            ("530 log in\r\n", false),
        ] {
            let refused = session(said).envelope("me@a.example", &["x@b.example", "y@b.example"]);
            let fault = Fault::from(refused.unwrap_err());
            assert_eq!(matches!(fault, Fault::Retryable { .. }), is_retried, "{fault}");
        }
    }

    #[test]
    fn a_mail_is_handed_over_and_ended_apart() {
        let mut session = session("354 go on\r\n250 taken as 7\r\n");
        session.data(|output| output.write_all(b"a\r\n.\r\nb")).unwrap();
        assert!(session.stream.get_ref().hears.ends_with(b"DATA\r\na\r\n..\r\nb\r\n"));
        assert_eq!(session.end_data().unwrap().code, 250);
        assert!(session.into_inner().hears.ends_with(b"b\r\n.\r\n"));
    }
}
