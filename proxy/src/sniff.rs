//! What a stream carries, from its first bytes. Looked at step by step: the first byte that cannot
//! belong to TLS or HTTP decides, so most other protocols are known by their first one.

use rustls::server::Acceptor;

/// First bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest method taken for one.
const MAX_METHOD: usize = 24;
/// Longest beginning looked at.
pub const MAX_PREFIX: usize = 64 * 1_024;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed.
    More,
    /// A TLS handshake.
    Tls,
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else.
    Opaque,
}

/// What a TLS client offers, as far as it concerns the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    More,
    /// It offers these application protocols.
    Offers(Vec<Vec<u8>>),
    /// It is no valid beginning of TLS.
    Invalid,
}

/// Looks at the first bytes of a stream.
#[must_use]
pub fn protocol(prefix: &[u8]) -> Verdict {
    match prefix {
        [] => Verdict::More,
        // A handshake record (RFC 8446, section 5.1): type 22, legacy version 3.x.
        [22] => Verdict::More,
        [22, 3, ..] => Verdict::Tls,
        [22, ..] => Verdict::Opaque,
        _ if is_preface(prefix) => {
            if prefix.len() >= PREFACE.len() {
                Verdict::Http2
            } else {
                Verdict::More
            }
        }
        _ => request_line(prefix),
    }
}

/// Reads the ClientHello at the beginning of a TLS stream.
#[must_use]
pub fn hello(prefix: &[u8]) -> Hello {
    let mut acceptor = Acceptor::default();
    let mut rest = prefix;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Hello::Invalid;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let offered = hello.alpn().into_iter().flatten();
                return Hello::Offers(offered.map(<[u8]>::to_vec).collect());
            }
            Ok(None) => {}
            Err(_) => return Hello::Invalid,
        }
    }
    if prefix.len() >= MAX_PREFIX {
        Hello::Invalid
    } else {
        Hello::More
    }
}

fn is_preface(prefix: &[u8]) -> bool {
    let common = prefix.len().min(PREFACE.len());
    prefix.get(..common) == PREFACE.get(..common)
}

/// `METHOD SP TARGET SP HTTP/1.` (RFC 9112, section 3).
fn request_line(prefix: &[u8]) -> Verdict {
    let method_end = prefix
        .iter()
        .position(|byte| !is_method(*byte))
        .unwrap_or(prefix.len());
    if method_end > MAX_METHOD || (method_end == 0 && !prefix.is_empty()) {
        return Verdict::Opaque;
    }
    let Some(rest) = prefix.get(method_end..).filter(|rest| !rest.is_empty()) else {
        return Verdict::More;
    };
    let Some(target) = rest.strip_prefix(b" ") else {
        return Verdict::Opaque;
    };
    let target_end = target
        .iter()
        .position(|byte| *byte <= b' ' || *byte == 0x7f);
    let Some(target_end) = target_end else {
        return if prefix.len() >= MAX_PREFIX {
            Verdict::Opaque
        } else {
            Verdict::More
        };
    };
    match target
        .get(target_end..)
        .and_then(|rest| rest.strip_prefix(b" "))
    {
        Some(version) if target_end > 0 => version_prefix(version),
        _ => Verdict::Opaque,
    }
}

fn version_prefix(bytes: &[u8]) -> Verdict {
    const VERSION: &[u8] = b"HTTP/1.";
    let common = bytes.len().min(VERSION.len());
    if bytes.get(..common) != VERSION.get(..common) {
        Verdict::Opaque
    } else if common == VERSION.len() {
        Verdict::Http1
    } else {
        Verdict::More
    }
}

fn is_method(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_protocols_by_their_first_bytes() {
        for (prefix, verdict) in [
            (&b"GET / HTTP/1.1\r\n"[..], Verdict::Http1),
            (b"POST /a?b=c HTTP/1.0\r\n", Verdict::Http1),
            (b"CONNECT host:443 HTTP/1.1\r\n", Verdict::Http1),
            (b"PROPFIND /x HTTP/1.", Verdict::Http1),
            (b"GET /a-long-path", Verdict::More),
            (b"GET", Verdict::More),
            (b"G", Verdict::More),
            (b"PRI * HTTP/2.0\r\n", Verdict::More),
            (PREFACE, Verdict::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Verdict::Opaque),
            (b"\x16", Verdict::More),
            (b"\x16\x03\x01", Verdict::Tls),
            (b"\x16\x00", Verdict::Opaque),
            (b"\0", Verdict::Opaque),
            (b"*1\r\n$4\r\nPING\r\n", Verdict::Opaque),
            (b"PING\r\n", Verdict::Opaque),
            (b"EHLO example.com\r\n", Verdict::Opaque),
            (b"GET  / HTTP/1.1", Verdict::Opaque),
            (b"HELLO world again", Verdict::Opaque),
        ] {
            assert_eq!(protocol(prefix), verdict, "{}", prefix.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn more_bytes_never_change_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut decided = Verdict::More;
            for end in 0..=bytes.len() {
                let verdict = protocol(&bytes[..end]);
                if decided != Verdict::More {
                    prop_assert_eq!(verdict, decided);
                }
                decided = verdict;
            }
        }

        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = hello(&bytes);
        }
    }
}
