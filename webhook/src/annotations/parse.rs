//! Readers of single annotation values. An error says what is allowed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use serde::de::DeserializeOwned;
use serde_json::Value;

use lateen_api::mesh::InterceptionMode;
use lateen_wire::switch;

use super::RESERVED_PORTS;
use crate::quantity::Amount;

/// What is allowed, for a value that is not.
type Allowed = &'static str;

const LOG_LEVELS: [&str; 11] = [
    "trace", "debug", "info", "warning", "warn", "error", "critical", "fatal", "none", "off",
    "default",
];

/// A truth value, in Go's spellings.
pub(super) fn truth(value: &str) -> Result<bool, Allowed> {
    switch::parse(value).ok_or("true or false")
}

pub(super) fn interception_mode(value: &str) -> Result<InterceptionMode, Allowed> {
    match value {
        "REDIRECT" => Ok(InterceptionMode::Redirect),
        "TPROXY" => Ok(InterceptionMode::Tproxy),
        "NONE" => Ok(InterceptionMode::None),
        _ => Err("REDIRECT, TPROXY or NONE"),
    }
}

/// An image reference, or a bare name below the hub.
pub(super) fn image(value: &str) -> Result<String, Allowed> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    let starts_well = value
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && value.bytes().all(is_legal) {
        Ok(value.to_owned())
    } else {
        Err(
            "the name of an image, such as proxyv2, or a reference, such as registry/folder/proxyv2:tag",
        )
    }
}

pub(super) fn image_type(value: &str) -> Result<String, Allowed> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_legal) {
        Ok(value.to_owned())
    } else {
        Err("a suffix of an image's tag, such as default, debug or distroless")
    }
}

pub(super) fn amount(value: &str) -> Result<Amount, Allowed> {
    Amount::parse(value).ok_or("a Kubernetes quantity that is not negative, such as 100m or 128Mi")
}

pub(super) fn log_level(value: &str) -> Result<String, String> {
    if LOG_LEVELS.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(format!("one of {}", LOG_LEVELS.join(", ")))
    }
}

/// `LEVEL` or `SCOPE:LEVEL`, several with commas between.
pub(super) fn log_levels(value: &str) -> Result<String, String> {
    let is_scope = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_legal = |part: &str| {
        let (scope, level) = part.split_once(':').unwrap_or(("default", part));
        !scope.is_empty() && scope.bytes().all(is_scope) && LOG_LEVELS.contains(&level)
    };
    if value.split(',').all(is_legal) {
        Ok(value.to_owned())
    } else {
        let levels = LOG_LEVELS.join(", ");
        Err(format!(
            "a comma-separated list of SCOPE:LEVEL, where LEVEL is one of {levels}"
        ))
    }
}

/// The name of a Kubernetes object: a DNS subdomain (RFC 1123).
pub(super) fn object_name(value: &str) -> Result<String, Allowed> {
    let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        label.bytes().all(is_legal)
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if value.len() <= 253 && value.split('.').all(is_label) {
        Ok(value.to_owned())
    } else {
        Err("the name of a ConfigMap")
    }
}

pub(super) fn port_or_zero(value: &str) -> Result<u16, Allowed> {
    decimal(value).ok_or("a port number from 0 to 65535")
}

/// Zero is for no status page.
pub(super) fn status_port(value: &str) -> Result<u16, Allowed> {
    decimal(value)
        .filter(|port| !RESERVED_PORTS.contains(port))
        .ok_or("a port number from 0 to 65535 that the mesh does not use for something else")
}

pub(super) fn port(value: &str) -> Option<u16> {
    decimal(value).filter(|port| *port > 0)
}

pub(super) fn count(value: &str) -> Result<i32, Allowed> {
    decimal(value).ok_or("a number from 0 to 2147483647")
}

pub(super) fn positive_count(value: &str) -> Result<i32, Allowed> {
    decimal(value)
        .filter(|count| *count > 0)
        .ok_or("a number from 1 to 2147483647")
}

pub(super) fn volumes(value: &str) -> Result<Vec<Volume>, Allowed> {
    named(value).ok_or(r#"a JSON object from names to volumes, such as {"cache":{"emptyDir":{}}}"#)
}

pub(super) fn volume_mounts(value: &str) -> Result<Vec<VolumeMount>, Allowed> {
    named(value).ok_or(
        r#"a JSON object from names of volumes to mounts, such as {"cache":{"mountPath":"/cache"}}"#,
    )
}

pub(super) fn variables(value: &str) -> Result<BTreeMap<String, String>, Allowed> {
    let is_name = |name: &String| {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(is_legal)
    };
    let variables: Option<BTreeMap<String, String>> = serde_json::from_str(value).ok();
    variables
        .filter(|variables| variables.keys().all(is_name))
        .ok_or(r#"a JSON object from names of variables to texts, such as {"DD_ENV":"prod"}"#)
}

/// Digits alone: no sign, no space, no other base.
fn decimal<T: std::str::FromStr>(value: &str) -> Option<T> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}

/// The values of a JSON object, each with its key as its `name`.
fn named<T: DeserializeOwned>(value: &str) -> Option<Vec<T>> {
    let entries: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(value).ok()?;
    let with_name = |(name, mut fields): (String, BTreeMap<String, Value>)| {
        fields.insert("name".to_owned(), Value::String(name));
        // As text, since that is how volumes are read elsewhere: another way is a fifth of a megabyte.
        serde_json::from_slice(&serde_json::to_vec(&fields).ok()?).ok()
    };
    entries.into_iter().map(with_name).collect()
}
