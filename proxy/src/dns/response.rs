//! What a name server answers: whether it answers our question, how long it may be kept, and how it
//! becomes an answer to the client's.

use std::time::Duration;

use super::message::{
    Code, HEADER, Header, Malformed, Record, Section, flag, kind, question_end, records, u16_at,
};
use super::query::Query;

/// An absence is believed for this long at most, whatever its zone says.
const MAX_ABSENCE: Duration = Duration::from_secs(30);
/// Every other answer is.
const MAX_KEPT: Duration = Duration::from_secs(300);
/// The highest time to live; more means 0 (RFC 2181, section 8).
const MAX_SECONDS: u32 = i32::MAX as u32;
/// The code of a response that says that there is no such name (NXDOMAIN).
const ABSENT: u16 = 3;

/// An answer to our question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    bytes: Vec<u8>,
    flags: u16,
    question_end: usize,
}

/// Why bytes are no [`Response`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// They answer another question: the answer to ours may still come.
    NotOurs,
    /// They are the answer to ours, and cannot be read.
    Broken,
}

impl Response {
    /// Checks what came as the answer to a question that was sent under an id.
    pub(super) fn read(bytes: Vec<u8>, query: &Query<'_>, id: u16) -> Result<Self, Unusable> {
        let header = Header::read(&bytes).map_err(|Malformed| Unusable::NotOurs)?;
        if header.id != id || header.flags & flag::RESPONSE == 0 {
            return Err(Unusable::NotOurs);
        }
        if let Some(refusal) = Self::without_question(header) {
            return Ok(refusal);
        }
        let response = Self::of_question(bytes, header).ok_or(Unusable::Broken)?;
        let asked = response.bytes.get(HEADER..response.question_end);
        match asked.is_some_and(|asked| query.is_same(asked)) {
            true => Ok(response),
            false => Err(Unusable::NotOurs),
        }
    }

    /// Servers that don't know extensions may answer to them with nothing but a header, from which a
    /// client learns to do without (RFC 6891, section 7).
    fn without_question(header: Header) -> Option<Self> {
        let is_answer = matches!(header.flags & flag::CODE, 0 | ABSENT);
        let bare = Header {
            records: [0; 3],
            ..header
        };
        (header.questions == 0 && !is_answer).then(|| Self {
            bytes: bare.bytes().to_vec(),
            flags: header.flags,
            question_end: HEADER,
        })
    }

    fn of_question(bytes: Vec<u8>, header: Header) -> Option<Self> {
        let question_end = question_end(&bytes)
            .ok()
            .filter(|_| header.questions == 1)?;
        let is_whole = records(&bytes, question_end).all(|record| record.is_ok());
        // Of a truncated answer only the beginning is needed.
        (is_whole || header.flags & flag::TRUNCATED != 0).then_some(Self {
            bytes,
            flags: header.flags,
            question_end,
        })
    }

    /// Whether the rest of it must be asked for over TCP.
    pub(super) fn is_truncated(&self) -> bool {
        self.flags & flag::TRUNCATED != 0
    }

    /// Whether another server may know better: this one cannot, or does not want to, answer.
    pub(super) fn is_failure(&self) -> bool {
        let codes = [Code::ServerFailure as u16, Code::NotImplemented as u16, 5];
        codes.contains(&(self.flags & flag::CODE))
    }

    /// How long the answer may be kept (RFC 2308 for absences). None when it may not.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        let code = self.flags & flag::CODE;
        if self.is_truncated() || !matches!(code, 0 | ABSENT) {
            return None;
        }
        let asked = self.kind();
        let mut seconds = u32::MAX;
        // An alias alone is none of what was asked for.
        let mut is_absence = true;
        for record in self.records() {
            match (record.section, record.kind) {
                // The upper byte extends the code: a failure after all.
                (_, kind::OPT) if record.time_to_live >> 24 != 0 => return None,
                (Section::Answer, found) => {
                    seconds = seconds.min(plausible(record.time_to_live));
                    is_absence &= code == ABSENT || ![found, kind::ANY].contains(&asked);
                }
                (Section::Authority, kind::SOA) if is_absence => {
                    seconds = seconds
                        .min(plausible(record.time_to_live))
                        .min(self.last_number(&record)?);
                    return lifetime(seconds, MAX_ABSENCE);
                }
                _ => {}
            }
        }
        if is_absence {
            None
        } else {
            lifetime(seconds, MAX_KEPT)
        }
    }

    /// The answer to a client's question, which is the same but for its id and its letters' case.
    pub(super) fn answer(&self, query: &Query<'_>) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let Some(id) = bytes.first_chunk_mut() {
            *id = query.id().to_be_bytes();
        }
        if let Some(question) = bytes.get_mut(HEADER..self.question_end)
            && question.len() == query.question().len()
        {
            question.copy_from_slice(query.question());
        }
        bytes
    }

    /// The same after some time has passed: what is kept grows old.
    pub(super) fn aged(&self, age: Duration) -> Self {
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let mut aged = self.clone();
        for record in self.records().filter(|record| record.kind != kind::OPT) {
            let left = plausible(record.time_to_live).saturating_sub(age);
            if let Some(place) = aged.bytes.get_mut(record.time_to_live_at()) {
                place.copy_from_slice(&left.to_be_bytes());
            }
        }
        aged
    }

    /// The same with the addresses of a name in any order: most clients take the first, and would
    /// otherwise do so for as long as the answer is kept.
    pub(super) fn in_any_order(mut self) -> Self {
        let asked = self.kind();
        let length = match asked {
            kind::A => 4,
            kind::AAAA => 16,
            _ => return self,
        };
        let answers = self.records().filter(|record| {
            (record.section, record.kind, record.data.len()) == (Section::Answer, asked, length)
        });
        let places: Vec<_> = answers.map(|record| record.data).collect();
        let mut addresses: Vec<Vec<u8>> = places
            .iter()
            .filter_map(|place| Some(self.bytes.get(place.clone())?.to_vec()))
            .collect();
        fastrand::shuffle(&mut addresses);
        for (place, address) in places.into_iter().zip(addresses) {
            if let Some(place) = self.bytes.get_mut(place) {
                place.copy_from_slice(&address);
            }
        }
        self
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The type that was asked for; none has number 0.
    fn kind(&self) -> u16 {
        u16_at(&self.bytes, self.question_end.saturating_sub(4)).unwrap_or_default()
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        records(&self.bytes, self.question_end).map_while(Result::ok)
    }

    /// The last field of an SOA record: the time to live of absences.
    fn last_number(&self, record: &Record) -> Option<u32> {
        let number = self.bytes.get(record.data.clone())?.last_chunk()?;
        Some(plausible(u32::from_be_bytes(*number)))
    }
}

fn plausible(seconds: u32) -> u32 {
    if seconds > MAX_SECONDS { 0 } else { seconds }
}

fn lifetime(seconds: u32, most: Duration) -> Option<Duration> {
    let lifetime = Duration::from_secs(seconds.into()).min(most);
    (!lifetime.is_zero()).then_some(lifetime)
}

/// Shortens a response to what its receiver can take: whole records of the answer, as many as there is
/// room for, and the extensions. It says that there is more.
pub(super) fn fit(bytes: Vec<u8>, limit: usize) -> Vec<u8> {
    if bytes.len() <= limit {
        return bytes;
    }
    // What is ours to send is well formed.
    shortened(&bytes, limit).unwrap_or_default()
}

fn shortened(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
    let mut header = Header::read(bytes)?;
    let question_end = question_end(bytes)?;
    let all: Vec<Record> = records(bytes, question_end).map_while(Result::ok).collect();
    let extensions = all.iter().find(|record| record.kind == kind::OPT);
    let extensions = extensions
        .and_then(|record| bytes.get(record.range.clone()))
        .filter(|extensions| question_end + extensions.len() <= limit);
    let room = limit.saturating_sub(extensions.map_or(0, <[u8]>::len));
    let kept = all
        .iter()
        .take_while(|record| record.section == Section::Answer && record.range.end <= room);
    let (mut count, mut end) = (0, question_end);
    for record in kept {
        count += 1;
        end = record.range.end;
    }
    header.flags |= flag::TRUNCATED;
    header.records = [count, 0, u16::from(extensions.is_some())];
    let records = bytes.get(HEADER..end).ok_or(Malformed)?;
    Ok([
        header.bytes().as_slice(),
        records,
        extensions.unwrap_or_default(),
    ]
    .concat())
}
