//! Connections to the peers of the script.

use std::collections::VecDeque;
use std::future::ready;
use std::io;

use super::{Script, installed};

pub(crate) use crate::bindings::apflow::plugin::dial::{
    Error, Mechanism, SmtpError, SmtpLogin, SmtpReply,
};

/// A server on the other side of a connection: what it says, and what it waits to hear, in order.
///
/// It fails the test when the plugin says something else, or waits for words when it is its own
/// turn to speak.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    steps: VecDeque<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Sends(Vec<u8>),
    Expects(Vec<u8>),
    HearsUntil { end: Vec<u8>, heard: Vec<u8> },
    Secures(Result<(), String>),
    Authenticates { user: String, password: String },
    Refuses(u16, String),
}

impl Peer {
    /// Makes a peer that answers, says nothing and hangs up.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says this.
    #[must_use]
    pub fn sends(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Sends(bytes.as_ref().to_vec()))
    }

    /// Waits until it hears this.
    #[must_use]
    pub fn expects(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Expects(bytes.as_ref().to_vec()))
    }

    /// Hears whatever comes, until it ends with this.
    #[must_use]
    pub fn hears_until(self, end: impl AsRef<[u8]>) -> Self {
        self.then(Step::HearsUntil { end: end.as_ref().to_vec(), heard: Vec::new() })
    }

    /// Goes on in TLS when the plugin does.
    #[must_use]
    pub fn starts_tls(self) -> Self {
        self.then(Step::Secures(Ok(())))
    }

    /// Is not trusted when the plugin wants to go on in TLS, for this reason.
    #[must_use]
    pub fn fails_tls(self, reason: &str) -> Self {
        self.then(Step::Secures(Err(reason.to_owned())))
    }

    /// Takes the login of this user. `password` is what the plugin holds of it. The greeting, EHLO and
    /// AUTH are the host's, and not among the steps.
    #[must_use]
    pub fn authenticates(self, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        self.then(Step::Authenticates { user, password })
    }

    /// Refuses the next login with this answer.
    #[must_use]
    pub fn refuses_login(self, code: u16, text: &str) -> Self {
        self.then(Step::Refuses(code, text.to_owned()))
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    /// Whether it has nothing more to say and to hear.
    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    fn secure(&mut self) -> Result<(), Error> {
        match self.steps.pop_front() {
            Some(Step::Secures(secured)) => secured.map_err(Error::Tls),
            other => mistaken(&format!("wants TLS, but the peer {}", words(other.as_ref()))),
        }
    }

    fn authenticate(&mut self, login: &SmtpLogin) -> Result<(), SmtpError> {
        match self.steps.pop_front() {
            Some(Step::Authenticates { user, password })
                if (&user, &password) == (&login.user, &login.password) =>
            {
                Ok(())
            }
            Some(Step::Refuses(code, text)) => Err(SmtpError::Rejected(SmtpReply { code, text })),
            other => {
                let SmtpLogin { user, password, .. } = login;
                let words = words(other.as_ref());
                mistaken(&format!("logs in as {user:?} with {password:?}, but the peer {words}"))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self.steps.front_mut() {
            Some(Step::Sends(bytes)) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                bytes.drain(..length);
                if bytes.is_empty() {
                    self.steps.pop_front();
                }
                length
            }
            None => 0,
            other => mistaken(&format!("reads, but the peer {}", words(other.as_deref()))),
        }
    }

    /// Hears words, even before what it says itself was read.
    fn hear(&mut self, heard: &[u8]) {
        let mut rest = heard;
        while !rest.is_empty() {
            let is_waiting =
                |step: &Step| matches!(step, Step::Expects(_) | Step::HearsUntil { .. });
            let Some(at) = self.steps.iter().position(is_waiting) else {
                mistaken(&format!("says {}, but the peer hears no more", text(rest)));
            };
            let (length, is_over) = hear_step(&mut self.steps[at], rest);
            if is_over {
                self.steps.remove(at);
            }
            rest = &rest[length..];
        }
    }
}

/// Lets a step hear words. Says how many of them it took, and whether it is over.
fn hear_step(step: &mut Step, words: &[u8]) -> (usize, bool) {
    match step {
        Step::Expects(bytes) => {
            let length = bytes.len().min(words.len());
            if bytes[..length] != words[..length] {
                mistaken(&format!("says {}, but the peer expects {}", text(words), text(bytes)));
            }
            bytes.drain(..length);
            (length, bytes.is_empty())
        }
        Step::HearsUntil { end, heard } => {
            for (index, byte) in words.iter().enumerate() {
                heard.push(*byte);
                if heard.ends_with(end) {
                    return (index + 1, true);
                }
            }
            (words.len(), false)
        }
        Step::Sends(_) | Step::Secures(_) | Step::Authenticates { .. } | Step::Refuses(..) => {
            (0, false)
        }
    }
}

fn words(step: Option<&Step>) -> String {
    match step {
        Some(Step::Sends(bytes)) => format!("says {}", text(bytes)),
        Some(Step::Expects(bytes)) => format!("expects {}", text(bytes)),
        Some(Step::HearsUntil { end, .. }) => format!("hears until {}", text(end)),
        Some(Step::Secures(_)) => "waits for TLS".to_owned(),
        Some(Step::Authenticates { user, password }) => {
            format!("waits for {user:?} with {password:?}")
        }
        Some(Step::Refuses(..)) => "waits for a login".to_owned(),
        None => "has hung up".to_owned(),
    }
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

#[expect(clippy::panic, reason = "a conversation that no test expected fails the test")]
fn mistaken(what: &str) -> ! {
    panic!("the plugin {what}")
}

/// What a script has for one call of `connect`.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) peer: Result<Peer, Error>,
    pub(crate) is_used: bool,
}

pub(crate) fn connect(host: &str, port: u16) -> Result<Connection, Error> {
    let script = installed();
    let mut state = script.state();
    let is_met = |one: &Dialed| !one.is_used && one.host == host && one.port == port;
    let Some(index) = state.dialed.iter().position(is_met) else {
        mistaken(&format!("dials {host}:{port}, which nobody expected"));
    };
    let dialed = &mut state.dialed[index];
    dialed.is_used = true;
    match &dialed.peer {
        Ok(_) => {
            drop(state);
            Ok(Connection { script, index })
        }
        Err(error) => Err(error.clone()),
    }
}

/// A connection to a peer of the script.
#[derive(Debug)]
pub(crate) struct Connection {
    script: Script,
    index: usize,
}

impl Connection {
    pub(crate) fn secure(self) -> Result<Self, Error> {
        self.with(Peer::secure)?;
        Ok(self)
    }

    pub(crate) fn authenticate_smtp(self, login: &SmtpLogin) -> Result<Self, SmtpError> {
        self.with(|peer| peer.authenticate(login))?;
        Ok(self)
    }

    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        ready(Ok(self.with(|peer| peer.read(buffer)))).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|peer| peer.hear(bytes));
        ready(Ok(bytes.len())).await
    }

    fn with<T>(&self, act: impl FnOnce(&mut Peer) -> T) -> T {
        match &mut self.script.state().dialed[self.index].peer {
            Ok(peer) => act(peer),
            Err(error) => mistaken(&format!("has a connection in spite of {error:?}")),
        }
    }
}
