//! Expressions: what a rule is made of in nf_tables. They are run one after the other, put values
//! into registers, compare them, and end the rule or decide about the packet. One register is
//! enough for us.
//!
//! Reading knows just what we write. Anything else is kept as it is, and is not ours as we made it.

use super::protocol::*;
use crate::netlink::message::{Attributes, attribute, attributes, network_number, text};

/// The register that verdicts go to, and the one for everything else.
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
/// The flag of a redirection to a port.
const PORT_IS_GIVEN: u32 = 2;

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Counts packets. What it has counted is not part of it.
    Counter,
    /// Loads something about the packet that is not in it.
    LoadMeta(Meta),
    /// Sets such a thing.
    SetMeta(Meta),
    /// Loads bytes of the packet.
    LoadPayload {
        /// Which header.
        header: Header,
        /// Where in the header, in bytes.
        offset: u32,
        /// How many bytes.
        length: u32,
    },
    /// Loads something about the packet's connection.
    LoadConntrack(Conntrack),
    /// Sets such a thing.
    SetConntrack(Conntrack),
    /// Keeps these bits of what was loaded.
    Mask(Vec<u8>),
    /// Ends the rule unless what was loaded is, or is not, this.
    Compare {
        /// Whether it must be something else.
        not: bool,
        /// The value.
        value: Vec<u8>,
    },
    /// Loads a value.
    Immediate(Vec<u8>),
    /// Decides about the packet.
    Verdict(Verdict),
    /// Redirects the packet's connection to the port that was loaded.
    Redirect,
    /// Hands the packet to whoever listens on the port that was loaded; the number is the family's.
    Tproxy(u32),
    /// Any other.
    Other {
        /// Its name.
        name: String,
        /// Its attributes.
        data: Vec<u8>,
    },
}

/// Something about a packet that is not in it: the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Meta {
    Mark = 3,
    InInterface = 6,
    OutInterface = 7,
    User = 10,
    Group = 11,
    Protocol = 16,
}

impl Meta {
    const ALL: [Self; 6] = [
        Self::Mark,
        Self::InInterface,
        Self::OutInterface,
        Self::User,
        Self::Group,
        Self::Protocol,
    ];
}

/// Something about a connection: the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Conntrack {
    State = 0,
    Mark = 3,
    Zone = 17,
}

impl Conntrack {
    const ALL: [Self; 3] = [Self::State, Self::Mark, Self::Zone];
}

/// A header of a packet: the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Header {
    Network = 1,
    Transport = 2,
}

/// What is decided about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Accept,
    /// It vanishes.
    Drop,
    /// It goes on in another chain, and then here.
    Jump(String),
    /// It leaves the chain.
    Return,
}

const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const JUMP: u32 = (-3i32).cast_unsigned();
const RETURN: u32 = (-5i32).cast_unsigned();

/// Writes expressions as a list.
pub(crate) fn write(expressions: &[Expression]) -> Attributes {
    expressions
        .iter()
        .fold(Attributes::default(), |list, expression| {
            let (name, data) = expression.write();
            let element = Attributes::default().with_text(NAME, name);
            list.with_nested(ELEMENT, &element.with_nested(DATA, &data))
        })
}

/// Reads a list of expressions.
pub(crate) fn read(list: &[u8]) -> Vec<Expression> {
    let elements = attributes(list);
    elements
        .map(|(_, element)| {
            let name = text(element, NAME).unwrap_or_default();
            let data = attribute(element, DATA).unwrap_or_default();
            Expression::read(name, data).unwrap_or_else(|| Expression::Other {
                name: name.to_owned(),
                data: data.to_vec(),
            })
        })
        .collect()
}

impl Expression {
    fn write(&self) -> (&str, Attributes) {
        let data = Attributes::default();
        match self {
            Self::Counter => ("counter", data),
            Self::LoadMeta(key) => {
                let data = data.with_number(META_TO, REGISTER);
                ("meta", data.with_number(META_KEY, *key as u32))
            }
            Self::SetMeta(key) => {
                let data = data.with_number(META_KEY, *key as u32);
                ("meta", data.with_number(META_FROM, REGISTER))
            }
            Self::LoadPayload {
                header,
                offset,
                length,
            } => {
                let data = data
                    .with_number(PAYLOAD_TO, REGISTER)
                    .with_number(PAYLOAD_HEADER, *header as u32)
                    .with_number(PAYLOAD_OFFSET, *offset);
                ("payload", data.with_number(PAYLOAD_LENGTH, *length))
            }
            Self::LoadConntrack(key) => {
                let data = data.with_number(CONNTRACK_TO, REGISTER);
                ("ct", data.with_number(CONNTRACK_KEY, *key as u32))
            }
            Self::SetConntrack(key) => {
                let data = data.with_number(CONNTRACK_KEY, *key as u32);
                ("ct", data.with_number(CONNTRACK_FROM, REGISTER))
            }
            Self::Mask(mask) => ("bitwise", write_mask(mask)),
            Self::Compare { not, value } => {
                let data = data
                    .with_number(COMPARE_FROM, REGISTER)
                    .with_number(COMPARE_OPERATION, u32::from(*not));
                ("cmp", data.with_nested(COMPARE_WITH, &write_value(value)))
            }
            Self::Immediate(value) => {
                let data = data.with_number(IMMEDIATE_TO, REGISTER);
                let value = write_value(value);
                ("immediate", data.with_nested(IMMEDIATE_DATA, &value))
            }
            Self::Verdict(verdict) => {
                let data = data.with_number(IMMEDIATE_TO, VERDICT_REGISTER);
                let verdict = write_verdict(verdict);
                ("immediate", data.with_nested(IMMEDIATE_DATA, &verdict))
            }
            Self::Redirect => ("redir", data.with_number(REDIRECT_PORT, REGISTER)),
            Self::Tproxy(family) => {
                let data = data.with_number(TPROXY_FAMILY, *family);
                ("tproxy", data.with_number(TPROXY_PORT, REGISTER))
            }
            Self::Other { name, data } => (name, Attributes::after(data)),
        }
    }

    /// `None` for one that we never write.
    fn read(name: &str, data: &[u8]) -> Option<Self> {
        let is = |kind, expected| network_number(data, kind) == Some(expected);
        let has_no = |kind| attribute(data, kind).is_none();
        let register = |kind| is(kind, REGISTER);
        match name {
            "counter" => Some(Self::Counter),
            "meta" if register(META_TO) => read_meta(data).map(Self::LoadMeta),
            "meta" if register(META_FROM) => read_meta(data).map(Self::SetMeta),
            "payload" if register(PAYLOAD_TO) => read_payload(data),
            "ct" if !has_no(CONNTRACK_DIRECTION) => None,
            "ct" if register(CONNTRACK_TO) => read_conntrack(data).map(Self::LoadConntrack),
            "ct" if register(CONNTRACK_FROM) => read_conntrack(data).map(Self::SetConntrack),
            "bitwise" if register(BITWISE_FROM) && register(BITWISE_TO) => {
                read_mask(data).map(Self::Mask)
            }
            "cmp" if register(COMPARE_FROM) => Some(Self::Compare {
                not: match network_number(data, COMPARE_OPERATION)? {
                    0 => false,
                    1 => true,
                    _ => return None,
                },
                value: read_value(attribute(data, COMPARE_WITH)?)?,
            }),
            "immediate" if register(IMMEDIATE_TO) => {
                read_value(attribute(data, IMMEDIATE_DATA)?).map(Self::Immediate)
            }
            "immediate" if is(IMMEDIATE_TO, VERDICT_REGISTER) => {
                read_verdict(attribute(data, IMMEDIATE_DATA)?).map(Self::Verdict)
            }
            "redir" if register(REDIRECT_PORT) => {
                let one_port = has_no(REDIRECT_LAST_PORT) || register(REDIRECT_LAST_PORT);
                let plain = has_no(REDIRECT_FLAGS) || is(REDIRECT_FLAGS, PORT_IS_GIVEN);
                (one_port && plain).then_some(Self::Redirect)
            }
            "tproxy" if register(TPROXY_PORT) && has_no(TPROXY_ADDRESS) => {
                network_number(data, TPROXY_FAMILY).map(Self::Tproxy)
            }
            _ => None,
        }
    }
}

fn write_value(value: &[u8]) -> Attributes {
    Attributes::default().with(VALUE, value)
}

fn read_value(data: &[u8]) -> Option<Vec<u8>> {
    attribute(data, VALUE).map(<[u8]>::to_vec)
}

fn write_mask(mask: &[u8]) -> Attributes {
    let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
    Attributes::default()
        .with_number(BITWISE_FROM, REGISTER)
        .with_number(BITWISE_TO, REGISTER)
        .with_number(BITWISE_LENGTH, length)
        .with_nested(BITWISE_MASK, &write_value(mask))
        .with_nested(BITWISE_FLIPPED, &write_value(&vec![0; mask.len()]))
}

/// A mask that flips no bits, of the operation that masks.
fn read_mask(data: &[u8]) -> Option<Vec<u8>> {
    let mask = read_value(attribute(data, BITWISE_MASK)?)?;
    let flipped = read_value(attribute(data, BITWISE_FLIPPED)?)?;
    let masks = network_number(data, BITWISE_OPERATION).unwrap_or(0) == 0;
    (masks && flipped == vec![0; mask.len()]).then_some(mask)
}

fn read_meta(data: &[u8]) -> Option<Meta> {
    let number = network_number(data, META_KEY)?;
    Meta::ALL.into_iter().find(|key| *key as u32 == number)
}

fn read_conntrack(data: &[u8]) -> Option<Conntrack> {
    let number = network_number(data, CONNTRACK_KEY)?;
    Conntrack::ALL.into_iter().find(|key| *key as u32 == number)
}

fn read_payload(data: &[u8]) -> Option<Expression> {
    let number = network_number(data, PAYLOAD_HEADER)?;
    let mut headers = [Header::Network, Header::Transport].into_iter();
    Some(Expression::LoadPayload {
        header: headers.find(|header| *header as u32 == number)?,
        offset: network_number(data, PAYLOAD_OFFSET)?,
        length: network_number(data, PAYLOAD_LENGTH)?,
    })
}

fn write_verdict(verdict: &Verdict) -> Attributes {
    let code = |code| Attributes::default().with_number(VERDICT_CODE, code);
    let inner = match verdict {
        Verdict::Accept => code(ACCEPT),
        Verdict::Drop => code(DROP),
        Verdict::Jump(chain) => code(JUMP).with_text(VERDICT_CHAIN, chain),
        Verdict::Return => code(RETURN),
    };
    Attributes::default().with_nested(VERDICT, &inner)
}

fn read_verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = attribute(data, VERDICT)?;
    match network_number(verdict, VERDICT_CODE)? {
        ACCEPT => Some(Verdict::Accept),
        DROP => Some(Verdict::Drop),
        JUMP => text(verdict, VERDICT_CHAIN).map(|chain| Verdict::Jump(chain.to_owned())),
        RETURN => Some(Verdict::Return),
        _ => None,
    }
}
