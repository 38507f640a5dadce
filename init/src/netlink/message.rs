//! Messages of netlink: a header, a fixed part that each kind of message has its own of, and
//! attributes, which may hold attributes. Numbers are in the byte order of the host, except where
//! netfilter wants the network's.
//!
//! What the kernel says is read without trust: what is cut short or overlaps is left out.

use std::mem::size_of;

/// A request for an answer.
const REQUEST: u16 = 0x1;
/// A request for an acknowledgement.
pub(crate) const ACKNOWLEDGE: u16 = 0x4;
/// A request for all there is.
pub(crate) const DUMP: u16 = 0x300;
/// To make something that is not there yet, or fail.
pub(crate) const CREATE: u16 = 0x400 | EXCLUSIVE;
const EXCLUSIVE: u16 = 0x200;
/// To make something at the end of a list.
pub(crate) const APPEND: u16 = 0xc00;
/// Set in the kind of an attribute that holds attributes.
const NESTED: u16 = 0x8000;
/// What is not set by flags in the kind of an attribute.
const KIND: u16 = 0x3fff;
/// The header of a message, and of an attribute.
const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// A message to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is asked for.
    pub(crate) kind: u16,
    /// How.
    pub(crate) flags: u16,
    /// The fixed part and the attributes.
    pub(crate) body: Attributes,
}

impl Request {
    /// The bytes to send.
    pub(crate) fn bytes(&self, sequence: u32) -> Vec<u8> {
        let Attributes(body) = &self.body;
        let length = u32::try_from(MESSAGE_HEADER + body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::from(length.to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((self.flags | REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }
}

/// Attributes, one after the other, perhaps after a fixed part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// None yet, after this fixed part.
    pub(crate) fn after(fixed: &[u8]) -> Self {
        Self(fixed.to_vec())
    }

    /// With one more.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len());
        #[expect(
            clippy::expect_used,
            reason = "the longest is a rule of 64 groups: 8 kB"
        )]
        let length = length.expect("an attribute of less than 64 kB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(aligned(self.0.len()), 0);
        self
    }

    /// With one more, which holds attributes.
    pub(crate) fn with_nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }

    /// With one more, a text that ends with a zero.
    pub(crate) fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// With one more, a number in the network's byte order.
    pub(crate) fn with_number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_be_bytes())
    }

    /// The bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A message of the kernel's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// What it is.
    pub(crate) kind: u16,
    /// More about it.
    pub(crate) flags: u16,
    /// Which request it answers.
    pub(crate) sequence: u32,
    /// The fixed part and the attributes.
    pub(crate) body: &'a [u8],
}

/// The messages in what was received.
pub(crate) fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(number(bytes, 0)?).ok()?;
        let message = bytes.get(..length)?;
        let body = message.get(MESSAGE_HEADER..)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some(Answer {
            kind: short(message, 4)?,
            flags: short(message, 6)?,
            sequence: number(message, 8)?,
            body,
        })
    })
}

/// The attributes in these bytes, by kind.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(short(bytes, 0)?);
        let kind = short(bytes, 2)? & KIND;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of this kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// The text of the first attribute of this kind.
pub(crate) fn text(bytes: &[u8], kind: u16) -> Option<&str> {
    let value = attribute(bytes, kind)?;
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    std::str::from_utf8(value).ok()
}

/// The number in the network's byte order that the first attribute of this kind holds.
pub(crate) fn network_number(bytes: &[u8], kind: u16) -> Option<u32> {
    let value = attribute(bytes, kind)?;
    value.try_into().ok().map(u32::from_be_bytes)
}

/// A number of the host's at this place.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + size_of::<u32>())?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + size_of::<u16>())?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Attributes::default().with_text(2, "eth0").with_number(3, 7);
        let body = Attributes::after(&[1, 2, 3, 4])
            .with_nested(5, &inner)
            .with(6, &[9]);
        let request = Request {
            kind: 77,
            flags: ACKNOWLEDGE,
            body,
        };
        let bytes = [request.bytes(1), request.bytes(2)].concat();
        let found: Vec<_> = answers(&bytes).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[1].kind, found[1].flags, found[1].sequence),
            (77, 5, 2)
        );
        let attributes = &found[1].body[4..];
        let nested = attribute(attributes, 5).unwrap();
        assert_eq!(
            (text(nested, 2), network_number(nested, 3)),
            (Some("eth0"), Some(7))
        );
        assert_eq!(attribute(attributes, 6), Some(&[9][..]));
        assert_eq!(attribute(attributes, 7), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for answer in answers(&bytes) {
                prop_assert!(attributes(answer.body).count() <= answer.body.len());
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
