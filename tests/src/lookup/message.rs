//! As much of DNS messages (RFC 1035) as questions for one host's addresses need.

use std::net::Ipv4Addr;

/// Bytes of a header.
const HEADER: usize = 12;
/// The type of IPv4 addresses.
const A: u16 = 1;

/// A question for a host's IPv4 addresses.
pub(super) fn question(host: &str) -> Vec<u8> {
    let mut message = fastrand::u16(..).to_be_bytes().to_vec();
    // Recursion is desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in host.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, A as u8, 0, 1]);
    message
}

/// The answer to a question: this address, if it is for IPv4 addresses, and nothing otherwise.
pub(super) fn answer(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut end = HEADER;
    while let Some(length) = question.get(end).filter(|length| **length != 0) {
        end += 1 + usize::from(*length);
    }
    // Type and class.
    end += 5;
    let mut message = question.get(..end)?.to_vec();
    let is_for_address = message.ends_with(&[0, A as u8, 0, 1]);
    let header = [0x81, 0x80, 0, 1, 0, u8::from(is_for_address), 0, 0, 0, 0];
    message.get_mut(2..HEADER)?.copy_from_slice(&header);
    if is_for_address {
        message.extend([0xc0, HEADER as u8, 0, A as u8, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(address.octets());
    }
    Some(message)
}

/// The only address of an answer to a question.
pub(super) fn address_in(answer: &[u8], question: &[u8]) -> Option<Ipv4Addr> {
    let (number, counts) = (answer.get(..2)?, answer.get(3..8)?);
    // No error, one question, one record.
    let is_answer = counts.first()? & 0x0f == 0 && counts.get(1..)? == [0, 1, 0, 1];
    let address: [u8; 4] = *answer.last_chunk()?;
    (is_answer && question.starts_with(number)).then(|| address.into())
}
