//! One rule as `iptables-save` writes it, without its chain: written and read.
//!
//! Reading knows just what we write. A rule that says anything else is not ours as we made it, and
//! that is all one needs to know about it.

use std::fmt::{self, Display, Formatter};

use ipnet::IpNet;

use crate::options::Interface;
use crate::rules::{Action, Chain, Condition, ConnectionState, Is, Owner, Protocol, Rule};

/// Writes a rule.
pub(crate) fn write(rule: &Rule) -> String {
    format!("{}-j {}", Text(&rule.condition), Text(&rule.action))
}

/// Rewrites what `iptables-save` printed the way [`write()`] would; what is not understood stays.
pub(crate) fn normalise(text: &str) -> String {
    read(text).map_or_else(|| text.to_owned(), |rule| write(&rule))
}

/// Whether a rule, whoever's it is, jumps or goes to such a chain. Text within quotes does not count.
pub(crate) fn jumps_to(text: &str, chain: impl Fn(&str) -> bool) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    let mut words = text.split(|c: char| {
        let ends_word = c == ' ' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends_word
    });
    words.any(|word| matches!(word, "-j" | "-g")) && words.next().is_some_and(chain)
}

/// A wrapper for the form that iptables gives a value.
struct Text<'a, T>(&'a T);

impl Display for Text<'_, Condition> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Condition {
            source,
            destination,
            in_interface,
            out_interface,
            protocol,
            state,
            owner,
        } = self.0;
        if let Some(network) = source {
            write!(formatter, "-s {network} ")?;
        }
        if let Some(destination) = destination {
            let (not, network) = parts(destination);
            write!(formatter, "{not}-d {network} ")?;
        }
        if let Some(interface) = in_interface {
            write!(formatter, "-i {interface} ")?;
        }
        if let Some(interface) = out_interface {
            write!(formatter, "-o {interface} ")?;
        }
        if let Some((protocol, port)) = protocol {
            let name = protocol_name(*protocol);
            write!(formatter, "-p {name} ")?;
            if let Some((not, port)) = port.as_ref().map(parts) {
                write!(formatter, "-m {name} {not}--dport {port} ")?;
            }
        }
        if let Some(ConnectionState::Invalid) = state {
            formatter.write_str("-m conntrack --ctstate INVALID ")?;
        }
        match owner.as_ref().map(parts) {
            None => Ok(()),
            Some((not, Owner::User(id))) => write!(formatter, "-m owner {not}--uid-owner {id} "),
            Some((not, Owner::Group(id))) => write!(formatter, "-m owner {not}--gid-owner {id} "),
        }
    }
}

impl Display for Text<'_, Action> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::Drop => formatter.write_str("DROP"),
            Action::Jump(chain) => formatter.write_str(chain.name()),
            Action::Redirect(port) => write!(formatter, "REDIRECT --to-ports {port}"),
            Action::Return => formatter.write_str("RETURN"),
        }
    }
}

fn parts<T>(value: &Is<T>) -> (&'static str, &T) {
    match value {
        Is::Exactly(value) => ("", value),
        Is::Not(value) => ("! ", value),
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// Reads a rule, its options in any order; `None` if it says something that we never say.
pub(crate) fn read(text: &str) -> Option<Rule> {
    let mut condition = Condition::any();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let not = word == "!";
        let option = if not { words.next()? } else { word };
        let value = words.next()?;
        match option {
            "-s" if !not => condition.source = Some(network(value)?),
            "-d" => condition.destination = Some(is(not, network(value)?)),
            "-i" if !not => condition.in_interface = Some(Interface::parse(value)?),
            "-o" if !not => condition.out_interface = Some(Interface::parse(value)?),
            "-p" if !not => condition.protocol = Some((protocol(value)?, None)),
            // What the module is asked to check follows, and says which module it was.
            "-m" if !not && matches!(value, "tcp" | "udp" | "owner" | "conntrack") => {}
            "--dport" => condition.protocol.as_mut()?.1 = Some(is(not, value.parse().ok()?)),
            "--uid-owner" => condition.owner = Some(is(not, Owner::User(value.parse().ok()?))),
            "--gid-owner" => condition.owner = Some(is(not, Owner::Group(value.parse().ok()?))),
            "--ctstate" if !not && value == "INVALID" => {
                condition.state = Some(ConnectionState::Invalid);
            }
            "-j" if !not => return Some(condition.then(action(value, words)?)),
            _ => return None,
        }
    }
    None
}

fn action<'a>(target: &str, mut rest: impl Iterator<Item = &'a str>) -> Option<Action> {
    let action = match target {
        "DROP" => Action::Drop,
        "RETURN" => Action::Return,
        "REDIRECT" if rest.next() == Some("--to-ports") => {
            Action::Redirect(rest.next()?.parse().ok()?)
        }
        _ => Action::Jump(Chain::named(target)?),
    };
    rest.next().is_none().then_some(action)
}

fn is<T>(not: bool, value: T) -> Is<T> {
    if not {
        Is::Not(value)
    } else {
        Is::Exactly(value)
    }
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(crate::family::host);
    text.parse().ok().or_else(address)
}

fn protocol(name: &str) -> Option<Protocol> {
    match name {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}
