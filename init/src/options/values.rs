//! How single values are written: ports, networks, interfaces, users, durations. Each function
//! answers with the value, or with what is wrong with the text and what is allowed.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use lateen_wire::switch;

use super::Interface;
use crate::family::host;

/// The longest time that anything is waited for; what is much longer no clock can add to now.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The value, or what is wrong with the text and what is allowed.
pub(super) type Parsed<T> = Result<T, String>;

/// A TCP or UDP port.
pub(super) fn port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port (1 to 65535)")),
        Ok(port) => Ok(port),
    }
}

/// A comma list. Spaces round an item, empty items and repeated items don't count.
pub(super) fn list<T: PartialEq>(text: &str, item: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut items = Vec::new();
    for text in text
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let item = item(text)?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items)
}

/// A network; bits of the host are dropped, an address alone is a network of one.
pub(super) fn network(text: &str) -> Parsed<IpNet> {
    let network = text.parse().map(|network: IpNet| network.trunc()).ok();
    let address = || text.parse().map(|address: IpAddr| host(address)).ok();
    network.or_else(address).ok_or_else(|| {
        format!("{text:?} is not a network (such as 10.0.0.0/8, fd00::/8 or 10.1.2.3)")
    })
}

/// Loopback networks of IPv4, from one address to all of 127.0.0.0/8.
pub(super) fn loopback_network(text: &str) -> Parsed<Ipv4Net> {
    match network(text) {
        Ok(IpNet::V4(network)) if network.addr().is_loopback() && network.prefix_len() >= 8 => {
            Ok(network)
        }
        _ => Err(format!("{text:?} is not a network within 127.0.0.0/8")),
    }
}

/// The name of an interface; a `+` at its end stands for any rest.
pub(super) fn interface(text: &str) -> Parsed<Interface> {
    let name = text.strip_suffix('+').unwrap_or(text);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '@');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.chars().all(allowed) && text.len() <= 15 {
        Ok(Interface(text.to_owned()))
    } else {
        Err(format!(
            "{text:?} is not an interface (at most 15 letters, digits, _ . - @, and + at the end for any rest)"
        ))
    }
}

/// A switch, in the spellings Go takes.
pub(super) fn switch(text: &str) -> Parsed<bool> {
    switch::parse(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
}

/// A number of 32 bits that is not 0; hexadecimal after `0x`.
pub(super) fn positive(text: &str) -> Parsed<u32> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a number (1 to 4294967295)")),
        Ok(number) => Ok(number),
    }
}

/// A routing table that is not one of the kernel's own.
pub(super) fn route_table(text: &str) -> Parsed<u32> {
    match positive(text) {
        Ok(253..=255) => Err(format!("{text:?} is a routing table of the kernel's own")),
        other => other,
    }
}

/// A duration as Go writes it: numbers with units, such as `500ms`, `1.5m` or `1m30s`.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let wrong = || format!("{text:?} is not a duration (such as 500ms, 5s or 1m30s)");
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = first_part(rest).ok_or_else(wrong)?;
        (seconds, rest) = (seconds + part, after);
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if duration.is_zero() || duration > LONGEST {
        return Err(format!("{text:?} is no time to wait (1ns to 24h)"));
    }
    Ok(duration)
}

/// The seconds of the first number and its unit, and what follows them.
fn first_part(text: &str) -> Option<(f64, &str)> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let (amount, rest) = text.split_at(text.find(|c| !is_of_number(c))?);
    let (unit, rest) = rest.split_at(rest.find(is_of_number).unwrap_or(rest.len()));
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some((amount.parse::<f64>().ok()? * seconds, rest))
}
