//! What a connection carries. A declared protocol wins; ports of protocols in which the server
//! speaks first are TCP; everything else shows by its first bytes.

use std::io;

use bytes::BytesMut;

use crate::discover::Application;
use crate::http::Version;
use crate::net::Stream;
use crate::sniff::{self, Verdict};

/// Ports whose servers speak first: SMTP, DNS over TCP, submission, MySQL, 4444, PostgreSQL, Redis,
/// Elasticsearch, memcached, MongoDB.
const SERVER_FIRST: [u16; 10] = [25, 53, 587, 3306, 4444, 5432, 6379, 9300, 11211, 27017];

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// HTTP, to be understood.
    Http(Version),
    /// Bytes.
    Opaque,
}

/// How to find out what a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// Nothing is to be read.
    Opaque,
    /// It is HTTP; the first bytes say which.
    Http,
    /// The first bytes say.
    Unknown,
}

impl Detection {
    /// How to find out, by declaration and port.
    #[must_use]
    pub fn of(application: Application, port: u16) -> Self {
        match application {
            Application::Opaque => Self::Opaque,
            Application::Http | Application::Http2 => Self::Http,
            Application::Undeclared if SERVER_FIRST.contains(&port) => Self::Opaque,
            Application::Undeclared => Self::Unknown,
        }
    }

    /// What the first bytes mean.
    #[must_use]
    pub fn conclude(self, verdict: Verdict) -> Carried {
        match (self, verdict) {
            (Self::Opaque, _) | (_, Verdict::Tls) => Carried::Opaque,
            (_, Verdict::Http1) => Carried::Http(Version::Http1),
            (_, Verdict::Http2) => Carried::Http(Version::Http2),
            // What is no HTTP on a port that was declared to be gets HTTP's answer to it.
            (Self::Http, _) => Carried::Http(Version::Http1),
            (Self::Unknown, _) => Carried::Opaque,
        }
    }
}

/// Reads until the first bytes say what they are; [`Verdict::More`] when the stream ends before.
///
/// # Errors
/// When the connection fails.
pub async fn first_bytes(stream: &mut Stream, bytes: &mut BytesMut) -> io::Result<Verdict> {
    loop {
        let verdict = sniff::protocol(bytes);
        if verdict != Verdict::More || stream.read_more(bytes).await? == 0 {
            return Ok(verdict);
        }
    }
}
