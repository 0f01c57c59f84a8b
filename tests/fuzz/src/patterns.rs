//! Patterns, grants, and the scope that they make.

use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use apflow_model::capability::{
    Capabilities, Grant, HttpPattern, HttpTarget, NetPattern, Scheme, Scope, SocketPattern,
    TcpPattern, normal_path,
};

/// Reads lines as patterns and as grants, and asks a scope that is made of them: what is written
/// reads back as the same, sets contain what they should, and nothing is admitted that was not both
/// asked for and granted and kept.
pub fn capability(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().take(16).collect();
    for line in &lines {
        reads_back::<Grant>(line);
        reads_back::<NetPattern>(line);
    }
    let http = read::<HttpPattern>(&lines);
    let tcp = read::<TcpPattern>(&lines);
    let sockets = read::<SocketPattern>(&lines);
    hold_together(&http, HttpPattern::covers, HttpPattern::overlaps);
    hold_together(&tcp, TcpPattern::covers, TcpPattern::overlaps);
    hold_together(&sockets, SocketPattern::covers, SocketPattern::overlaps);
    let grants: Vec<Grant> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    let asked = Capabilities { http, tcp, sockets, ..Capabilities::default() };
    for line in &lines {
        admit(line, &asked, &grants);
    }
}

fn read<T: FromStr + Display + PartialEq + Debug>(lines: &[&str]) -> Vec<T> {
    lines.iter().filter_map(|line| reads_back(line)).collect()
}

fn reads_back<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let read: T = text.parse().ok()?;
    let again = read.to_string().parse().ok();
    assert_eq!(again.as_ref(), Some(&read), "`{text}` is written `{read}`");
    Some(read)
}

/// What one set has to do with another.
fn hold_together<T: Debug>(all: &[T], covers: fn(&T, &T) -> bool, overlaps: fn(&T, &T) -> bool) {
    for one in all {
        assert!(covers(one, one) && overlaps(one, one), "{one:?} is not itself");
        for other in all {
            assert_eq!(overlaps(one, other), overlaps(other, one), "{one:?} and {other:?}");
            assert!(!covers(one, other) || overlaps(one, other), "{one:?} and {other:?}");
        }
    }
}

/// Asks for what a line may mean as a destination.
fn admit(line: &str, asked: &Capabilities, grants: &[Grant]) {
    let (host, path) = line.split_once('/').unwrap_or((line, ""));
    let Ok(path) = normal_path(&format!("/{path}")) else { return };
    let target = HttpTarget {
        method: "GET".to_owned(),
        scheme: Scheme::Https,
        host: host.to_ascii_lowercase(),
        port: 443,
        path,
    };
    let scope = |kept: Option<Arc<[Grant]>>| Scope {
        plugin: "fuzzed".into(),
        asked: Arc::new(asked.clone()),
        granted: grants.into(),
        narrowed: kept,
    };
    let is_asked = asked.http.iter().any(|one| one.matches(&target));
    let is_granted =
        grants.iter().any(|grant| matches!(grant, Grant::Http(one) if one.matches(&target)));
    let admitted = scope(None).admit_http(&target);
    assert_eq!(admitted.is_ok(), is_asked && is_granted, "{line}");
    if let Err(denial) = admitted {
        assert!(!denial.to_string().is_empty());
    }
    assert!(scope(Some(Arc::default())).admit_http(&target).is_err(), "nothing was kept");
    // Keeping all that was granted gives up nothing.
    assert_eq!(scope(Some(grants.into())).admit_http(&target).is_ok(), is_asked && is_granted);
    assert!(scope(Some(Arc::default())).admit_tcp(&target.host, 443).is_err());
    if let Ok(address) = line.parse::<SocketAddr>() {
        assert!(scope(Some(Arc::default())).admit_socket(address).is_err());
        let is_granted =
            |grant: &Grant| matches!(grant, Grant::Sockets(one) if one.matches(address));
        let is_both =
            asked.sockets.iter().any(|one| one.matches(address)) && grants.iter().any(is_granted);
        assert_eq!(scope(None).admit_socket(address).is_ok(), is_both);
    }
}
