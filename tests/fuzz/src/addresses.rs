//! Paths, destinations of requests, and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use apflow_model::capability::{HttpPattern, HttpTarget, normal_path};
use apflow_sandbox::{is_public, target};
use http::Request;

/// Reads any bytes as a path, as the URI of a request, and as addresses.
pub fn url_and_address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().take(16) {
        if let Ok(path) = normal_path(line) {
            check_path(&path);
        }
        let request = Request::builder().uri(line).body(());
        if let Ok(to) = request.as_ref().map_err(|_| ()).and_then(|it| target(it).map_err(|_| ())) {
            check_target(line, &to);
        }
        if let Ok(address) = line.parse() {
            check_address(address);
        }
    }
    if let Some(first) = bytes.first_chunk::<4>() {
        check_address(Ipv4Addr::from(*first).into());
    }
    if let Some(first) = bytes.first_chunk::<16>() {
        check_address(Ipv6Addr::from(*first).into());
    }
}

fn check_path(path: &str) {
    assert_eq!(normal_path(path).as_deref(), Ok(path), "normal once is normal always");
    assert!(path.starts_with('/'));
    let dots = [".", "..", "%2e", "%2e.", ".%2e", "%2e%2e"];
    let is_dots = |segment: &str| dots.contains(&segment.to_ascii_lowercase().as_str());
    assert!(!path.split('/').any(is_dots), "{path}");
    assert!(!path.contains(['\\', '#', '?', ' ']) && !path.contains(char::is_control), "{path}");
}

fn check_target(line: &str, to: &HttpTarget) {
    check_path(&to.path);
    assert!(
        !line.split(['?', '#']).next().is_some_and(|start| {
            start.split('/').nth(2).is_some_and(|authority| authority.contains('@'))
        }),
        "{line}: who it is said to be is not where it goes"
    );
    let host = &to.host;
    assert!(!host.contains(['/', '@', '[', ']', '?', '#', ' ']), "{line}: {host}");
    assert_eq!(*host, host.to_ascii_lowercase(), "{line}");
    let exactly = HttpPattern::exactly(to.scheme, host, to.port);
    assert!(exactly.matches(to), "{line}");
    assert!(HttpPattern::only(to).reaches(to.scheme, host, to.port), "{line}");
    // What a denial tells the operator to grant is a grant, and helps.
    let granted: HttpPattern = exactly.to_string().parse().unwrap();
    assert!(granted.matches(to), "{line}: `{exactly}` does not help");
}

fn check_address(address: IpAddr) {
    let canonical = address.to_canonical();
    assert_eq!(is_public(address), is_public(canonical), "{address}");
    let is_special = match canonical {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    };
    assert!(!(is_special && is_public(address)), "{address}");
    if let IpAddr::V4(inner) = canonical {
        for carried in carriers(inner) {
            assert!(!is_public(carried.into()), "{carried} carries {inner}");
        }
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_unspecified()
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

/// Addresses of IPv6 that lead to an IPv4 address: by NAT64, 6to4, and as once compatible.
fn carriers(inner: Ipv4Addr) -> [Ipv6Addr; 3] {
    let [a, b] = [inner.to_bits() >> 16, inner.to_bits() & 0xffff].map(u128::from);
    [
        Ipv6Addr::from_bits((0x64_ff9b << 96) | (a << 16) | b),
        Ipv6Addr::from_bits((0x2002 << 112) | (a << 96) | (b << 80)),
        Ipv6Addr::from_bits((a << 16) | b),
    ]
}
