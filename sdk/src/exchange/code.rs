//! What the error codes of `wasi:http` mean for a plugin. The codes are those of the IANA registry
//! *HTTP Proxy Error Types*.

use wasip2::http::types::ErrorCode;

use super::Error;

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::HttpRequestDenied => {
                Self::Denied("no grant allows it; the task's history names the one it needs".into())
            }
            ErrorCode::DestinationIpProhibited => {
                Self::Denied("the address is private or otherwise off limits".into())
            }
            ErrorCode::DnsTimeout => Self::Connect("the name was not resolved in time".into()),
            ErrorCode::ConnectionTimeout => Self::Connect("nobody answered in time".into()),
            ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
                Self::Timeout("the answer took too long".into())
            }
            ErrorCode::ConnectionWriteTimeout => {
                Self::Timeout("the server took the request too slowly".into())
            }
            ErrorCode::DnsError(dns) => match dns.rcode {
                Some(rcode) => Self::Connect(format!("the name was not resolved: {rcode}")),
                None => Self::Connect("the name was not resolved".into()),
            },
            code @ (ErrorCode::DestinationNotFound
            | ErrorCode::DestinationUnavailable
            | ErrorCode::DestinationIpUnroutable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionLimitReached) => Self::Connect(words(&code)),
            code @ (ErrorCode::HttpRequestBodySize(_)
            | ErrorCode::HttpRequestUriTooLong
            | ErrorCode::HttpRequestHeaderSectionSize(_)
            | ErrorCode::HttpRequestHeaderSize(_)
            | ErrorCode::HttpRequestTrailerSectionSize(_)
            | ErrorCode::HttpRequestTrailerSize(_)
            | ErrorCode::HttpResponseHeaderSectionSize(_)
            | ErrorCode::HttpResponseHeaderSize(_)
            | ErrorCode::HttpResponseBodySize(_)
            | ErrorCode::HttpResponseTrailerSectionSize(_)
            | ErrorCode::HttpResponseTrailerSize(_)) => Self::TooLarge(words(&code)),
            code @ (ErrorCode::HttpRequestLengthRequired
            | ErrorCode::HttpRequestMethodInvalid
            | ErrorCode::HttpRequestUriInvalid) => Self::Invalid(words(&code)),
            ErrorCode::InternalError(Some(text)) => Self::Protocol(text),
            code @ (ErrorCode::ConnectionTerminated
            | ErrorCode::TlsProtocolError
            | ErrorCode::TlsCertificateError
            | ErrorCode::TlsAlertReceived(_)
            | ErrorCode::HttpResponseIncomplete
            | ErrorCode::HttpResponseTransferCoding(_)
            | ErrorCode::HttpResponseContentCoding(_)
            | ErrorCode::HttpUpgradeFailed
            | ErrorCode::HttpProtocolError
            | ErrorCode::LoopDetected
            | ErrorCode::ConfigurationError
            | ErrorCode::InternalError(None)) => Self::Protocol(words(&code)),
        }
    }
}

/// Reads the name of a code as words: `ConnectionRefused` is `connection refused`.
fn words(code: &ErrorCode) -> String {
    let debug = format!("{code:?}");
    let name = debug.strip_prefix("ErrorCode::").unwrap_or(&debug);
    let name = name.split_once('(').map_or(name, |(name, _)| name);
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_not_a_lost_connection() {
        assert!(matches!(Error::from(ErrorCode::HttpRequestDenied), Error::Denied(_)));
        assert!(matches!(Error::from(ErrorCode::DestinationIpProhibited), Error::Denied(_)));
        let refused = Error::from(ErrorCode::ConnectionRefused);
        assert_eq!(refused, Error::Connect("connection refused".to_owned()));
    }

    #[test]
    fn what_was_never_sent_is_told_from_what_may_have_been() {
        for code in [
            ErrorCode::DnsTimeout,
            ErrorCode::ConnectionTimeout,
            ErrorCode::DestinationUnavailable,
            ErrorCode::ConnectionRefused,
        ] {
            assert!(matches!(Error::from(code), Error::Connect(_)));
        }
        let lost = Error::from(ErrorCode::ConnectionTerminated);
        assert_eq!(lost, Error::Protocol("connection terminated".to_owned()));
        for code in [
            ErrorCode::ConnectionReadTimeout,
            ErrorCode::ConnectionWriteTimeout,
            ErrorCode::HttpResponseTimeout,
        ] {
            assert!(matches!(Error::from(code), Error::Timeout(_)));
        }
    }

    #[test]
    fn sizes_are_too_large_and_the_rest_is_the_protocol() {
        let large = Error::from(ErrorCode::HttpResponseBodySize(Some(9)));
        assert_eq!(large, Error::TooLarge("http response body size".to_owned()));
        let invalid = Error::from(ErrorCode::HttpRequestUriInvalid);
        assert_eq!(invalid, Error::Invalid("http request uri invalid".to_owned()));
        let tls = Error::from(ErrorCode::TlsCertificateError);
        assert_eq!(tls, Error::Protocol("tls certificate error".to_owned()));
        let other = Error::from(ErrorCode::InternalError(Some("disk on fire".to_owned())));
        assert_eq!(other, Error::Protocol("disk on fire".to_owned()));
    }
}
