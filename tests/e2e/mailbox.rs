//! A small mail server that stops at a moment that a test chooses, and counts the mails that it took.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The last line of the mails that it is sent.
pub(crate) const LAST_LINE: &str = "This is all.";
/// The longest that a test waits for a moment.
const PATIENCE: Duration = Duration::from_mins(1);

/// A moment of a conversation, once the server has heard so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Connected,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    /// All of the mail, but not the dot that ends it.
    LastLine,
    /// The dot: the mail is taken. The answer is not out yet.
    Dot,
    /// The answer is out.
    Answered,
}

impl Moment {
    pub(crate) const ALL: [Self; 8] = [
        Self::Connected,
        Self::Ehlo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::LastLine,
        Self::Dot,
        Self::Answered,
    ];
}

/// A server on a free port of 127.0.0.1, until the test process ends.
pub(crate) struct Mailbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    reached: Receiver<()>,
}

struct Shared {
    state: Mutex<State>,
    released: Condvar,
    reached: Mutex<Sender<()>>,
}

#[derive(Default)]
struct State {
    /// When to say so, and whether to wait then.
    chosen: Option<(Moment, bool)>,
    is_waiting: bool,
    /// The `Message-ID` of every mail that was taken.
    taken: Vec<String>,
}

impl Mailbox {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, reached) = channel();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            released: Condvar::new(),
            reached: Mutex::new(sender),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that is killed is no fault of the server.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self { address, shared, reached }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Chooses the moment of the next conversation at which it says so, and perhaps waits.
    pub(crate) fn choose(&self, moment: Moment, is_held: bool) {
        self.shared.state.lock().unwrap().chosen = Some((moment, is_held));
    }

    /// Waits for the moment that was chosen.
    pub(crate) fn wait(&self) {
        self.reached.recv_timeout(PATIENCE).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().is_waiting = false;
        self.shared.released.notify_all();
    }

    /// How often it took a mail whose `Message-ID` ends so.
    pub(crate) fn taken(&self, end: &str) -> usize {
        let state = self.shared.state.lock().unwrap();
        state.taken.iter().filter(|taken| taken.ends_with(end)).count()
    }
}

impl Shared {
    fn reach(&self, moment: Moment) {
        let mut state = self.state.lock().unwrap();
        let Some((_, is_held)) = state.chosen.take_if(|(chosen, _)| *chosen == moment) else {
            return;
        };
        state.is_waiting = is_held;
        self.reached.lock().unwrap().send(()).unwrap();
        drop(self.released.wait_while(state, |state| state.is_waiting).unwrap());
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    shared.reach(Moment::Connected);
    stream.write_all(b"220 mailbox\r\n")?;
    loop {
        let line = read_line(&mut reader)?;
        let (moment, answer) = match line.split([' ', ':']).next() {
            Some("EHLO") => (Moment::Ehlo, "250 mailbox"),
            Some("MAIL") => (Moment::Mail, "250 fine"),
            Some("RCPT") => (Moment::Rcpt, "250 fine"),
            Some("DATA") => (Moment::Data, "354 go on"),
            _ => return Ok(()),
        };
        shared.reach(moment);
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
        if moment == Moment::Data {
            let id = read_mail(&mut reader, shared)?;
            shared.state.lock().unwrap().taken.push(id);
            shared.reach(Moment::Dot);
            stream.write_all(b"250 taken\r\n")?;
            shared.reach(Moment::Answered);
        }
    }
}

/// Reads a mail with its dot, and gives its `Message-ID`.
fn read_mail(reader: &mut impl BufRead, shared: &Shared) -> std::io::Result<String> {
    let mut id = String::new();
    loop {
        let line = read_line(reader)?;
        if let Some(found) = line.strip_prefix("Message-ID: ") {
            found.trim_matches(['<', '>']).clone_into(&mut id);
        }
        match line.as_str() {
            LAST_LINE => shared.reach(Moment::LastLine),
            "." => return Ok(id),
            _ => {}
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
