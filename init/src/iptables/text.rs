//! One rule as `iptables-save` writes it, without its chain: written and read.
//!
//! Reading knows just what we write. A rule that says anything else is not ours as we made it, and
//! that is all one needs to know about it.

use std::fmt::{self, Display, Formatter};

use ipnet::IpNet;

use crate::options::Interface;
use crate::rules::{
    Action, Chain, Condition, ConnectionState, Is, Owner, Protocol, Rule, Transport,
};

/// The mask of marks that are set, saved and restored whole.
const WHOLE: &str = "0xffffffff";
const WHOLE_MARKS: &str = "--nfmask 0xffffffff --ctmask 0xffffffff";

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
            transport,
            mark,
            connection_mark,
            state,
            owners,
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
        if let Some(transport) = transport {
            write!(formatter, "{}", Text(transport))?;
        }
        if let Some(mark) = mark {
            write!(formatter, "-m mark --mark {mark:#x} ")?;
        }
        if let Some(mark) = connection_mark {
            write!(formatter, "-m connmark --mark {mark:#x} ")?;
        }
        if let Some(state) = state {
            write!(formatter, "-m conntrack --ctstate {} ", state_name(*state))?;
        }
        for owner in owners {
            match parts(owner) {
                (not, Owner::User(id)) => write!(formatter, "-m owner {not}--uid-owner {id} ")?,
                (not, Owner::Group(id)) => write!(formatter, "-m owner {not}--gid-owner {id} ")?,
            }
        }
        Ok(())
    }
}

impl Display for Text<'_, Transport> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Transport {
            protocol,
            source_port,
            destination_port,
        } = self.0;
        let name = protocol_name(*protocol);
        write!(formatter, "-p {name} ")?;
        if source_port.is_some() || destination_port.is_some() {
            write!(formatter, "-m {name} ")?;
        }
        if let Some(port) = source_port {
            write!(formatter, "--sport {port} ")?;
        }
        if let Some((not, port)) = destination_port.as_ref().map(parts) {
            write!(formatter, "{not}--dport {port} ")?;
        }
        Ok(())
    }
}

impl Display for Text<'_, Action> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::Accept => formatter.write_str("ACCEPT"),
            Action::Drop => formatter.write_str("DROP"),
            Action::Jump(chain) => formatter.write_str(chain.name()),
            Action::Redirect(port) => write!(formatter, "REDIRECT --to-ports {port}"),
            Action::RestoreMark => write!(formatter, "CONNMARK --restore-mark {WHOLE_MARKS}"),
            Action::Return => formatter.write_str("RETURN"),
            Action::SaveMark => write!(formatter, "CONNMARK --save-mark {WHOLE_MARKS}"),
            Action::SetMark(mark) => write!(formatter, "MARK --set-xmark {mark:#x}/{WHOLE}"),
            Action::SetZone(zone) => write!(formatter, "CT --zone {zone}"),
            Action::Tproxy { port, mark } => {
                write!(
                    formatter,
                    "TPROXY --on-port {port} --tproxy-mark {mark:#x}/{WHOLE}"
                )
            }
        }
    }
}

fn parts<T>(value: &Is<T>) -> (&'static str, &T) {
    match value {
        Is::Exactly(value) => ("", value),
        Is::Not(value) => ("! ", value),
    }
}

fn state_name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Invalid => "INVALID",
        ConnectionState::Known => "RELATED,ESTABLISHED",
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// The modules that our rules name.
const MODULES: [&str; 6] = ["tcp", "udp", "owner", "conntrack", "mark", "connmark"];

/// Reads a rule, its options in any order; `None` if it says something that we never say.
pub(crate) fn read(text: &str) -> Option<Rule> {
    let mut condition = Condition::any();
    let mut words = text.split_whitespace();
    let mut last_module = "";
    while let Some(word) = words.next() {
        let not = word == "!";
        let option = if not { words.next()? } else { word };
        let value = words.next()?;
        match option {
            "-s" if !not => condition.source = Some(network(value)?),
            "-d" => condition.destination = Some(is(not, network(value)?)),
            "-i" if !not => condition.in_interface = Some(Interface::parse(value)?),
            "-o" if !not => condition.out_interface = Some(Interface::parse(value)?),
            "-p" if !not => condition.transport = Some(protocol(value)?.into()),
            // What the module is asked to check follows, and says which module it was.
            "-m" if !not && MODULES.contains(&value) => last_module = value,
            "--sport" if !not => {
                condition.transport.as_mut()?.source_port = Some(value.parse().ok()?)
            }
            "--dport" => {
                let port = is(not, value.parse().ok()?);
                condition.transport.as_mut()?.destination_port = Some(port);
            }
            "--mark" if !not && last_module == "mark" => condition.mark = Some(number(value)?),
            "--mark" if !not && last_module == "connmark" => {
                condition.connection_mark = Some(number(value)?);
            }
            "--ctstate" if !not => condition.state = Some(state(value)?),
            "--uid-owner" => condition
                .owners
                .push(is(not, Owner::User(value.parse().ok()?))),
            "--gid-owner" => condition
                .owners
                .push(is(not, Owner::Group(value.parse().ok()?))),
            "-j" if !not => return Some(condition.then(action(value, words)?)),
            _ => return None,
        }
    }
    None
}

fn action<'a>(target: &str, rest: impl Iterator<Item = &'a str>) -> Option<Action> {
    let rest: Vec<_> = rest.collect();
    Some(match (target, rest.as_slice()) {
        ("ACCEPT", []) => Action::Accept,
        ("DROP", []) => Action::Drop,
        ("RETURN", []) => Action::Return,
        ("REDIRECT", ["--to-ports", port]) => Action::Redirect(port.parse().ok()?),
        ("MARK", ["--set-xmark", mark]) => Action::SetMark(whole_mark(mark)?),
        ("CT", ["--zone", zone]) => Action::SetZone(zone.parse().ok()?),
        ("CONNMARK", ["--save-mark", masks @ ..]) if are_whole(masks) => Action::SaveMark,
        ("CONNMARK", ["--restore-mark", masks @ ..]) if are_whole(masks) => Action::RestoreMark,
        // The programs print that the address is to be the destination's; nobody has to say so.
        (
            "TPROXY",
            [
                "--on-port",
                port,
                "--on-ip",
                "0.0.0.0" | "::",
                "--tproxy-mark",
                mark,
            ]
            | ["--on-port", port, "--tproxy-mark", mark],
        ) => Action::Tproxy {
            port: port.parse().ok()?,
            mark: whole_mark(mark)?,
        },
        (chain, []) => Action::Jump(Chain::named(chain)?),
        _ => return None,
    })
}

fn are_whole(masks: &[&str]) -> bool {
    WHOLE_MARKS.split(' ').eq(masks.iter().copied())
}

fn whole_mark(text: &str) -> Option<u32> {
    let (mark, mask) = text.split_once('/')?;
    number(mark).filter(|_| mask == WHOLE)
}

fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn state(names: &str) -> Option<ConnectionState> {
    let states = [ConnectionState::Invalid, ConnectionState::Known];
    states.into_iter().find(|state| state_name(*state) == names)
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
