//! What the proxy knows of gRPC: how to recognise it, its status, and how its messages are framed
//! (gRPC over HTTP/2, "Length-Prefixed-Message").

use http::{HeaderMap, header};

/// The highest status there is (`UNAUTHENTICATED`).
const HIGHEST: u16 = 16;
/// The status `UNKNOWN`.
const UNKNOWN: u16 = 2;

/// Whether headers announce gRPC.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// `grpc-status` of a header section or of trailers.
#[must_use]
pub fn status(headers: &HeaderMap) -> Option<u16> {
    headers
        .get("grpc-status")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        // What no code is would make a series of its own: it stands for UNKNOWN.
        .map(|status| if status > HIGHEST { UNKNOWN } else { status })
}

/// The gRPC status that stands for an HTTP status.
pub(super) fn status_of_http(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Counts messages in a stream of bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MessageCounter {
    /// Messages that have begun.
    pub(super) messages: u64,
    /// Bytes of the present prefix that are there.
    prefix: u8,
    length: u32,
    /// Bytes of the present message that are to come.
    left: u32,
}

/// One byte of flags, four of length.
const PREFIX: u8 = 5;

impl MessageCounter {
    pub(super) fn count(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = bytes.len().min(self.left as usize);
                self.left -= skipped as u32;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if self.prefix > 0 {
                self.length = self.length << 8 | u32::from(*first);
            }
            self.prefix += 1;
            if self.prefix == PREFIX {
                self.messages += 1;
                self.left = self.length;
                self.prefix = 0;
                self.length = 0;
            }
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (value, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers =
                HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_grpc(&headers), grpc, "{value}");
        }
    }

    proptest! {
        #[test]
        fn messages_are_counted_however_they_are_cut(
            sizes in proptest::collection::vec(0usize..300, 0..20),
            cut in 1usize..50,
        ) {
            let mut bytes = Vec::new();
            for size in &sizes {
                bytes.push(0);
                bytes.extend_from_slice(&(*size as u32).to_be_bytes());
                bytes.extend(std::iter::repeat_n(7u8, *size));
            }
            let mut counter = MessageCounter::default();
            bytes.chunks(cut).for_each(|chunk| counter.count(chunk));
            prop_assert_eq!(counter.messages, sizes.len() as u64);
        }
    }
}
