//! Rules in the language of `nft`, as `--dry-run` prints them: `nft -f` takes them.

use std::fmt::{self, Display, Formatter, Write as _};

use ipnet::IpNet;

use super::{Hook, chain_name, point_name, table_name};
use crate::family::Family;
use crate::options::Interface;
use crate::rules::{
    Action, Condition, ConnectionState, Is, Owner, Point, Protocol, Rule, Ruleset, Table,
    TableRules, Transport,
};

/// All tables of a family.
pub fn write(rules: &Ruleset, family: Family) -> String {
    let mut text = String::new();
    for (table, rules) in rules {
        let _ = writeln!(text, "table {} {} {{", keyword(family), table_name(*table));
        write_hooks(rules, *table, &mut text);
        for (chain, rules) in &rules.chains {
            let _ = writeln!(text, "\tchain {} {{", chain_name(*chain));
            for rule in rules {
                let _ = writeln!(text, "\t\t{}", Text(rule));
            }
            text.push_str("\t}\n");
        }
        text.push_str("}\n");
    }
    text
}

fn write_hooks(rules: &TableRules, table: Table, text: &mut String) {
    for point in [Point::Prerouting, Point::Output] {
        let mut hooks = rules
            .hooks
            .iter()
            .filter(|hook| hook.point == point)
            .peekable();
        if hooks.peek().is_none() {
            continue;
        }
        let name = point_name(point);
        let Hook { kind, priority, .. } = Hook::of(table, point);
        let _ = writeln!(text, "\tchain {name} {{");
        let _ = writeln!(text, "\t\ttype {kind} hook {name} priority {priority};");
        for hook in hooks {
            let jump = hook.condition.clone().then(Action::Jump(hook.chain));
            let _ = writeln!(text, "\t\t{}", Text(&jump));
        }
        text.push_str("\t}\n");
    }
}

fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// A wrapper for the form that nft gives a value.
struct Text<'a, T>(&'a T);

impl Display for Text<'_, Rule> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Rule { condition, action } = self.0;
        write!(formatter, "{}counter {}", Text(condition), Text(action))
    }
}

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
        if let Some(interface) = in_interface {
            write!(formatter, "iifname {} ", Text(interface))?;
        }
        if let Some(interface) = out_interface {
            write!(formatter, "oifname {} ", Text(interface))?;
        }
        if let Some(network) = source {
            write!(formatter, "{} saddr {network} ", header(network))?;
        }
        if let Some((not, network)) = destination.as_ref().map(parts) {
            write!(formatter, "{} daddr {not}{network} ", header(network))?;
        }
        if let Some(transport) = transport {
            write!(formatter, "{}", Text(transport))?;
        }
        if let Some(mark) = mark {
            write!(formatter, "meta mark {mark:#x} ")?;
        }
        if let Some(mark) = connection_mark {
            write!(formatter, "ct mark {mark:#x} ")?;
        }
        match state {
            None => {}
            Some(ConnectionState::Invalid) => formatter.write_str("ct state invalid ")?,
            Some(ConnectionState::Known) => formatter.write_str("ct state established,related ")?,
        }
        for owner in owners {
            match parts(owner) {
                (not, Owner::User(id)) => write!(formatter, "meta skuid {not}{id} ")?,
                (not, Owner::Group(id)) => write!(formatter, "meta skgid {not}{id} ")?,
            }
        }
        Ok(())
    }
}

impl Display for Text<'_, Interface> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let name = self.0.to_string();
        match name.strip_suffix('+') {
            Some(beginning) => write!(formatter, "\"{beginning}*\""),
            None => write!(formatter, "\"{name}\""),
        }
    }
}

impl Display for Text<'_, Transport> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let name = match self.0.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(formatter, "meta l4proto {name} ")?;
        if let Some(port) = self.0.source_port {
            write!(formatter, "{name} sport {port} ")?;
        }
        if let Some((not, port)) = self.0.destination_port.as_ref().map(parts) {
            write!(formatter, "{name} dport {not}{port} ")?;
        }
        Ok(())
    }
}

impl Display for Text<'_, Action> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::Accept => formatter.write_str("accept"),
            Action::Drop => formatter.write_str("drop"),
            Action::Jump(chain) => write!(formatter, "jump {}", chain_name(*chain)),
            Action::Redirect(port) => write!(formatter, "redirect to :{port}"),
            Action::RestoreMark => formatter.write_str("meta mark set ct mark"),
            Action::Return => formatter.write_str("return"),
            Action::SaveMark => formatter.write_str("ct mark set meta mark"),
            Action::SetMark(mark) => write!(formatter, "meta mark set {mark:#x}"),
            Action::SetZone(zone) => write!(formatter, "ct zone set {zone}"),
            Action::Tproxy { port, mark } => {
                write!(
                    formatter,
                    "tproxy to :{port} meta mark set {mark:#x} accept"
                )
            }
        }
    }
}

fn header(network: &IpNet) -> &'static str {
    keyword(Family::of(network))
}

fn parts<T>(value: &Is<T>) -> (&'static str, &T) {
    match value {
        Is::Exactly(value) => ("", value),
        Is::Not(value) => ("!= ", value),
    }
}
