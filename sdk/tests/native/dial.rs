//! Connections are dialled, secured, refused, and held to their script.

use std::io::{BufRead, BufReader, Read, Write};

use apflow_sdk::dial::{self, Connection, Error};
use apflow_sdk::testing::{Host, Peer};
use apflow_sdk::{Fault, wait};

const NAME: &str = "mail.example";

fn line(reader: &mut BufReader<Connection>) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line)
}

#[test]
fn a_conversation_goes_from_clear_words_to_tls() {
    let peer = Peer::new()
        .sends("220 hello\r\n")
        .expects("STARTTLS\r\n")
        .sends("220 go ahead\r\n")
        .starts_tls()
        .expects("QUIT\r\n")
        .sends("221 bye\r\n");
    let host = Host::new().expect_dial(NAME, 587, peer);
    host.within(|| {
        let mut clear = BufReader::new(dial::connect(NAME, 587).unwrap());
        assert_eq!(line(&mut clear).unwrap(), "220 hello\r\n");
        clear.get_mut().write_all(b"STARTTLS\r\n").unwrap();
        assert_eq!(line(&mut clear).unwrap(), "220 go ahead\r\n");
        assert_eq!(host.not_finished(), ["mail.example:587"]);
        let mut secured = BufReader::new(clear.into_inner().tls().unwrap());
        secured.get_mut().write_all(b"QUIT\r\n").unwrap();
        let mut rest = String::new();
        secured.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "221 bye\r\n");
    });
    assert_eq!(host.not_finished(), [""; 0]);
}

#[test]
fn two_connections_can_be_read_at_once() {
    let host = Host::new().expect_dial("a.example", 1, Peer::new().sends("a")).expect_dial(
        "b.example",
        1,
        Peer::new().expects("?").sends("b"),
    );
    let read = host.within(|| {
        let (mut a, mut b) =
            (dial::connect("a.example", 1).unwrap(), dial::connect("b.example", 1).unwrap());
        let (mut first, mut second) = ([0; 8], [0; 8]);
        wait::block_on(wait::join(a.read_async(&mut first), async {
            b.write_all_async(b"?").await?;
            b.read_async(&mut second).await
        }))
    });
    assert_eq!((read.0.unwrap(), read.1.unwrap()), (1, 1));
}

#[test]
fn a_refused_connection_says_why() {
    let host = Host::new()
        .refuse_dial(NAME, 25, Error::Denied("no grant".to_owned()))
        .refuse_dial(NAME, 26, Error::Refused(String::new()))
        .expect_dial(NAME, 27, Peer::new().fails_tls("unknown issuer"));
    host.within(|| {
        let denied = dial::connect(NAME, 25).unwrap_err();
        assert_eq!(denied, Error::Denied("no grant".to_owned()));
        assert!(matches!(Fault::from(denied), Fault::Permanent(_)));
        let refused = dial::connect(NAME, 26).unwrap_err();
        assert_eq!(refused.to_string(), "no connection: `mail.example:26`: nobody answers there");
        assert!(matches!(Fault::from(refused), Fault::Retryable { .. }));
        let insecure = dial::connect(NAME, 27).unwrap().tls().unwrap_err();
        assert_eq!(insecure.to_string(), "no TLS: `mail.example:27`: unknown issuer");
    });
}

#[test]
#[should_panic(expected = "says \"HELO\", but the peer expects \"EHLO\"")]
fn a_wrong_word_fails_the_test() {
    let host = Host::new().expect_dial(NAME, 25, Peer::new().expects("EHLO"));
    host.within(|| dial::connect(NAME, 25).unwrap().write_all(b"HELO")).unwrap();
}

#[test]
#[should_panic(expected = "reads, but the peer expects \"EHLO\"")]
fn a_wait_for_a_peer_that_waits_fails_the_test() {
    let host = Host::new().expect_dial(NAME, 25, Peer::new().expects("EHLO"));
    drop(host.within(|| dial::connect(NAME, 25).unwrap().read(&mut [0; 8])));
}

#[test]
#[should_panic(expected = "dials mail.example:25, which nobody expected")]
fn a_connection_that_nobody_expected_fails_the_test() {
    drop(Host::new().within(|| dial::connect(NAME, 25)));
}
