//! What an application asks, and the answers that we make ourselves.

use std::net::IpAddr;

use super::message::{
    Code, HEADER, Header, INTERNET, Malformed, flag, kind, question_end, records, u16_at,
};

/// What a client can take without extensions (RFC 1035, section 4.2.1).
const PLAIN_SIZE: usize = 512;
/// What we send over UDP at most, whatever the client can take: whole, it is one packet on loopback.
const MAX_DATAGRAM: usize = 4_096;
/// Type and class, behind the name in a question.
const TYPE_AND_CLASS: usize = 4;
/// What we can take over UDP, as we tell clients: what passes through every network unfragmented.
const OUR_SIZE: u16 = 1_232;
/// The bit of an OPT record by which a client asks for signatures (RFC 3225).
const DNSSEC_OK: u32 = 0x8000;
/// A reference to the name in the question.
const QUESTIONED_NAME: u16 = 0xc000 | HEADER as u16;

/// How a question came, and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    /// In one datagram.
    Udp,
    /// Each message behind its length.
    Tcp,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A message with one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    bytes: &'a [u8],
    header: Header,
    question_end: usize,
    kind: u16,
    class: u16,
    extensions: Option<Extensions>,
}

/// What an OPT record says of who sent it (RFC 6891).
#[derive(Clone, Copy, Debug)]
struct Extensions {
    /// Bytes that it can take over UDP.
    size: u16,
    wants_signatures: bool,
}

/// Why a message is not answered as a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is a response, or not even a header: answering could go round for ever.
    Silence,
    /// This is the answer.
    Answer(Vec<u8>),
}

impl<'a> Query<'a> {
    /// Reads a message from a client.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let header = Header::read(bytes).map_err(|Malformed| Refusal::Silence)?;
        if header.flags & flag::RESPONSE != 0 {
            return Err(Refusal::Silence);
        }
        let refuse = |code| Refusal::Answer(response(header, code, 0, &[]));
        if header.flags & flag::OPCODE != 0 {
            return Err(refuse(Code::NotImplemented));
        }
        let query =
            Self::of_question(bytes, header).map_err(|Malformed| refuse(Code::FormatError))?;
        match query.kind {
            kind::AXFR | kind::IXFR => Err(refuse(Code::NotImplemented)),
            _ => Ok(query),
        }
    }

    fn of_question(bytes: &'a [u8], header: Header) -> Result<Self, Malformed> {
        if header.questions != 1 {
            return Err(Malformed);
        }
        let question_end = question_end(bytes)?;
        let mut extensions = None;
        for record in records(bytes, question_end) {
            let record = record?;
            if record.kind == kind::OPT {
                extensions = Some(Extensions {
                    size: record.class,
                    wants_signatures: record.time_to_live & DNSSEC_OK != 0,
                });
            }
        }
        Ok(Self {
            bytes,
            header,
            question_end,
            kind: u16_at(bytes, question_end - 4)?,
            class: u16_at(bytes, question_end - 2)?,
            extensions,
        })
    }

    /// The message as it came.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn id(&self) -> u16 {
        self.header.id
    }

    /// Name, type and class, as they came.
    pub(super) fn question(&self) -> &'a [u8] {
        self.bytes
            .get(HEADER..self.question_end)
            .unwrap_or_default()
    }

    /// Whether a question is the same as ours: of a name, letter case does not count.
    pub(super) fn is_same(&self, other: &[u8]) -> bool {
        let split = <[u8]>::split_last_chunk::<TYPE_AND_CLASS>;
        match (split(self.question()), split(other)) {
            (Some((name, what)), Some((other_name, other_what))) => {
                name.eq_ignore_ascii_case(other_name) && what == other_what
            }
            _ => false,
        }
    }

    /// The family of addresses that is asked for, if it is addresses.
    pub(super) fn family(&self) -> Option<Family> {
        match (self.class, self.kind) {
            (INTERNET, kind::A) => Some(Family::V4),
            (INTERNET, kind::AAAA) => Some(Family::V6),
            _ => None,
        }
    }

    /// The name that is asked about, in lower case and without a trailing dot; None when no host
    /// has such a name.
    pub(super) fn host(&self) -> Option<String> {
        let mut name = self.question();
        let mut host = String::new();
        while let Some((&length, rest)) = name.split_first().filter(|(length, _)| **length != 0) {
            let (label, rest) = rest.split_at_checked(usize::from(length))?;
            let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !label.iter().all(is_letter) {
                return None;
            }
            if !host.is_empty() {
                host.push('.');
            }
            host.extend(
                label
                    .iter()
                    .map(|byte| char::from(byte.to_ascii_lowercase())),
            );
            name = rest;
        }
        (!host.is_empty()).then_some(host)
    }

    /// Equal for questions that have the same answer: all that was sent, but for id and letter case.
    pub(super) fn key(&self) -> Box<[u8]> {
        let mut key = self.bytes.to_vec();
        key.drain(..2);
        if let Some(name) = key.get_mut(HEADER - 2..self.question_end - 2 - TYPE_AND_CLASS) {
            name.make_ascii_lowercase();
        }
        key.into_boxed_slice()
    }

    /// The most bytes that an answer may have.
    pub(super) fn limit(&self, transport: Transport) -> usize {
        match transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => self.extensions.map_or(PLAIN_SIZE, |extensions| {
                usize::from(extensions.size).clamp(PLAIN_SIZE, MAX_DATAGRAM)
            }),
        }
    }

    /// An answer without records.
    pub(super) fn failure(&self, code: Code) -> Vec<u8> {
        self.answer(code, 0, &[])
    }

    /// An answer with these addresses, good for so many seconds.
    pub(super) fn addresses(&self, addresses: &[IpAddr], seconds: u32) -> Vec<u8> {
        let mut records = Vec::with_capacity(addresses.len() * 28);
        for address in addresses {
            let (v4, v6);
            let data: &[u8] = match address {
                IpAddr::V4(address) => {
                    v4 = address.octets();
                    &v4
                }
                IpAddr::V6(address) => {
                    v6 = address.octets();
                    &v6
                }
            };
            records.extend(QUESTIONED_NAME.to_be_bytes());
            records.extend(self.kind.to_be_bytes());
            records.extend(INTERNET.to_be_bytes());
            records.extend(seconds.to_be_bytes());
            records.extend((data.len() as u16).to_be_bytes());
            records.extend(data);
        }
        let count = u16::try_from(addresses.len()).unwrap_or(u16::MAX);
        self.answer(Code::NoError, count, &records)
    }

    fn answer(&self, code: Code, count: u16, records: &[u8]) -> Vec<u8> {
        let extensions = self.extensions.map(Extensions::answer);
        let body = [
            self.question(),
            records,
            extensions.as_ref().map_or(&[], |bytes| bytes.as_slice()),
        ]
        .concat();
        let mut header = self.header;
        header.records = [count, 0, u16::from(extensions.is_some())];
        response(header, code, 1, &body)
    }
}

impl Extensions {
    /// Our own OPT record for a client that sent one.
    fn answer(self) -> [u8; 11] {
        let flags = if self.wants_signatures { DNSSEC_OK } else { 0 };
        let mut bytes = [0; 11];
        let fields = [kind::OPT, OUR_SIZE, (flags >> 16) as u16, flags as u16];
        for (place, field) in bytes
            .iter_mut()
            .skip(1)
            .zip(fields.iter().flat_map(|it| it.to_be_bytes()))
        {
            *place = field;
        }
        bytes
    }
}

/// A response of ours: what of the request's header stays, and the rest of the message.
fn response(mut header: Header, code: Code, questions: u16, body: &[u8]) -> Vec<u8> {
    let kept = flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
    let authority = match code {
        Code::NoError => flag::AUTHORITATIVE,
        _ => 0,
    };
    let ours = flag::RESPONSE | flag::RECURSION_AVAILABLE | authority;
    header.flags = (header.flags & kept) | ours | code as u16;
    header.questions = questions;
    if questions == 0 {
        header.records = [0; 3];
    }
    [header.bytes().as_slice(), body].concat()
}
