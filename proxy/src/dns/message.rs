//! DNS messages (RFC 1035, section 4) as far as a forwarder must understand them: the header, the one
//! question, and where each record begins and ends. Whatever records hold is passed on as it came.

use std::ops::Range;

/// Bytes of a header.
pub(super) const HEADER: usize = 12;
/// Longest name, as it stands in a message (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
/// Class IN.
pub(super) const INTERNET: u16 = 1;

/// The response codes that we give ourselves (RFC 1035, section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// The answer follows, which may be empty.
    NoError = 0,
    /// The question cannot be read.
    FormatError = 1,
    /// It could not be answered.
    ServerFailure = 2,
    /// We don't do that.
    NotImplemented = 4,
}

/// The types of records that something is done about.
pub(super) mod kind {
    /// IPv4 address.
    pub(in crate::dns) const A: u16 = 1;
    /// Start of a zone: says how long an absence may be believed (RFC 2308).
    pub(in crate::dns) const SOA: u16 = 6;
    /// IPv6 address (RFC 3596).
    pub(in crate::dns) const AAAA: u16 = 28;
    /// Extensions, which are no record (RFC 6891).
    pub(in crate::dns) const OPT: u16 = 41;
    /// Part of a zone's transfer.
    pub(in crate::dns) const IXFR: u16 = 251;
    /// A zone's transfer.
    pub(in crate::dns) const AXFR: u16 = 252;
    /// In a question: whatever there is.
    pub(in crate::dns) const ANY: u16 = 255;
}

/// Bits of the third and fourth byte of a header.
pub(super) mod flag {
    /// A response.
    pub(in crate::dns) const RESPONSE: u16 = 0x8000;
    /// What kind of request.
    pub(in crate::dns) const OPCODE: u16 = 0x7800;
    /// From whom it concerns.
    pub(in crate::dns) const AUTHORITATIVE: u16 = 0x0400;
    /// There is more than could be sent.
    pub(in crate::dns) const TRUNCATED: u16 = 0x0200;
    /// Others may be asked.
    pub(in crate::dns) const RECURSION_DESIRED: u16 = 0x0100;
    /// Others are asked.
    pub(in crate::dns) const RECURSION_AVAILABLE: u16 = 0x0080;
    /// Signatures are not to be checked.
    pub(in crate::dns) const CHECKING_DISABLED: u16 = 0x0010;
    /// The code of a response.
    pub(in crate::dns) const CODE: u16 = 0x000f;
}

/// A message breaks off, or cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the DNS message is malformed")]
pub(super) struct Malformed;

/// The numbers of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) questions: u16,
    /// Records: of the answer, of authorities, additional ones.
    pub(super) records: [u16; 3],
}

/// The part of a message that a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// Where a record is in its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) section: Section,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) time_to_live: u32,
    /// The whole record.
    pub(super) range: Range<usize>,
    /// What it holds.
    pub(super) data: Range<usize>,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(Self {
            id: u16_at(bytes, 0)?,
            flags: u16_at(bytes, 2)?,
            questions: u16_at(bytes, 4)?,
            records: [u16_at(bytes, 6)?, u16_at(bytes, 8)?, u16_at(bytes, 10)?],
        })
    }

    pub(super) fn bytes(self) -> [u8; HEADER] {
        let [answers, authorities, additional] = self.records;
        let numbers = [
            self.id,
            self.flags,
            self.questions,
            answers,
            authorities,
            additional,
        ];
        let mut bytes = [0; HEADER];
        for (place, number) in bytes.chunks_exact_mut(2).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }
}

impl Record {
    /// Where the time to live is: before the length of the data.
    pub(super) fn time_to_live_at(&self) -> Range<usize> {
        let end = self.data.start.saturating_sub(2);
        end.saturating_sub(4)..end
    }
}

/// The end of the question that follows the header: a name that refers to nothing, type and class.
pub(super) fn question_end(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut at = HEADER;
    loop {
        let length = usize::from(byte_at(bytes, at)?);
        at += 1 + length;
        if length > 63 || at - HEADER > MAX_NAME {
            return Err(Malformed);
        }
        if length == 0 {
            break;
        }
    }
    let end = at + 4;
    if end > bytes.len() {
        return Err(Malformed);
    }
    Ok(end)
}

/// The records behind a question, up to the first that is malformed.
pub(super) fn records(
    bytes: &[u8],
    question_end: usize,
) -> impl Iterator<Item = Result<Record, Malformed>> {
    let counts = Header::read(bytes).map_or([0; 3], |header| header.records);
    let sections = [Section::Answer, Section::Authority, Section::Additional];
    let mut at = Some(question_end);
    sections
        .into_iter()
        .zip(counts)
        .flat_map(|(section, count)| std::iter::repeat_n(section, usize::from(count)))
        .map_while(move |section| {
            let record = record_at(bytes, at?, section);
            at = record.as_ref().ok().map(|record| record.range.end);
            Some(record)
        })
}

fn record_at(bytes: &[u8], start: usize, section: Section) -> Result<Record, Malformed> {
    let name_end = skip_name(bytes, start)?;
    let data = name_end + 10;
    let end = data + usize::from(u16_at(bytes, name_end + 8)?);
    if end > bytes.len() {
        return Err(Malformed);
    }
    let [high, low] = [u16_at(bytes, name_end + 4)?, u16_at(bytes, name_end + 6)?];
    Ok(Record {
        section,
        kind: u16_at(bytes, name_end)?,
        class: u16_at(bytes, name_end + 2)?,
        time_to_live: (u32::from(high) << 16) | u32::from(low),
        range: start..end,
        data: data..end,
    })
}

/// The end of a name, which may refer to an earlier one (RFC 1035, section 4.1.4).
fn skip_name(bytes: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    loop {
        let length = byte_at(bytes, at)?;
        match length {
            0 => return Ok(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0.. => return byte_at(bytes, at + 1).map(|_| at + 2),
            _ => return Err(Malformed),
        }
        if at - start > MAX_NAME {
            return Err(Malformed);
        }
    }
}

fn byte_at(bytes: &[u8], at: usize) -> Result<u8, Malformed> {
    bytes.get(at).copied().ok_or(Malformed)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Malformed> {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok());
    pair.map(u16::from_be_bytes).ok_or(Malformed)
}
