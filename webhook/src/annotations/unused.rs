//! Annotations of Istio that nothing here acts on. Their values are checked all the same, so that a
//! pod that is accepted today is not refused by the version that does act on them.

use std::collections::BTreeMap;

use lateen_api::Duration;

use super::{Reader, parse};
use crate::keys;

const ADDRESS: &str = "HOST:PORT";
const BUCKETS: &str = "a JSON object from patterns of names to lists of numbers";
const DURATION: &str = "a duration, such as 10s or 1m30s";
const PORT: &str = "a port number from 1 to 65535";
const PORTS: &str = "a comma-separated list of port numbers from 1 to 65535";
const TAGS: &str = "a comma-separated list of names made of letters, digits, dots and underscores";
const TEXTS: &str = "a comma-separated list without control characters";

/// Notes what is wrong with these annotations.
pub(super) fn check(reader: &mut Reader<'_>) {
    reader.read(keys::DISCOVERY_ADDRESS, address);
    reader.read(keys::EXTRA_STAT_TAGS, tags);
    reader.read(keys::READINESS_PORTS, ports);
    reader.read(keys::SECURE_PORT, |value| {
        parse::port(value).map(drop).ok_or(PORT)
    });
    for key in keys::STATISTICS_LISTS {
        reader.read(key, texts);
    }
    for key in keys::STATISTICS_INTERVALS {
        reader.read(key, |value| {
            value.parse::<Duration>().map(drop).map_err(|_| DURATION)
        });
    }
    reader.read(keys::STATISTICS_BUCKETS, buckets);
}

fn address(value: &str) -> Result<(), &'static str> {
    let parts = value.rsplit_once(':');
    let is_host = |host: &str| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        !host.is_empty() && host.bytes().all(is_legal)
    };
    let is_address = parts.is_some_and(|(host, port)| is_host(host) && parse::port(port).is_some());
    is_address.then_some(()).ok_or(ADDRESS)
}

fn tags(value: &str) -> Result<(), &'static str> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
    let is_tag = |tag: &str| !tag.is_empty() && tag.bytes().all(is_legal);
    let all = value.split(',').all(|tag| is_tag(tag.trim()));
    all.then_some(()).ok_or(TAGS)
}

fn ports(value: &str) -> Result<(), &'static str> {
    let mut ports = value.split(',').map(str::trim);
    let all = value.is_empty() || ports.all(|port| parse::port(port).is_some());
    all.then_some(()).ok_or(PORTS)
}

fn texts(value: &str) -> Result<(), &'static str> {
    let is_text = !value.chars().any(char::is_control);
    is_text.then_some(()).ok_or(TEXTS)
}

fn buckets(value: &str) -> Result<(), &'static str> {
    let buckets = serde_json::from_str::<BTreeMap<String, Vec<f64>>>(value);
    buckets.map(drop).map_err(|_| BUCKETS)
}
