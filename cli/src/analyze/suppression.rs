//! `--suppress CODE=RESOURCE`: what is not told. A resource is written as people write it, `Pod
//! web.shop`, or as messages do, `Pod shop/web`; `*` stands for any text.

use std::str::FromStr;

use super::code::CODES;
use super::resource::Origin;
use crate::console::Console;

/// A message that is not told of some resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    code: String,
    resource: String,
}

impl FromStr for Suppression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((code, resource)) if !resource.contains('=') => Ok(Self {
                code: code.to_owned(),
                resource: resource.to_owned(),
            }),
            _ => Err("expected CODE=RESOURCE, such as \"IST0103=Pod web.shop\""),
        }
    }
}

impl Suppression {
    /// Whether it is about this message of this resource.
    pub(super) fn covers(&self, origin: &Origin, code: &str) -> bool {
        let Origin { kind, name, .. } = origin;
        let spoken = match &origin.namespace {
            Some(namespace) => format!("{kind} {name}.{namespace}"),
            None => format!("{kind} {name}"),
        };
        let names = [origin.to_string(), spoken];
        self.code == code && names.iter().any(|name| matches(&self.resource, name))
    }
}

/// Warns of suppressions that suppress nothing.
pub(super) fn warn(suppressions: &[Suppression], console: &Console) {
    for Suppression { code, .. } in suppressions {
        if CODES.iter().all(|known| known.name != *code) {
            console.warning(&format!(
                "--suppress {code}: there is no message of this code"
            ));
        }
    }
}

/// Whether a text is like a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("Pod web.shop", "Pod web.shop", true),
            ("Pod web.shop", "Pod web.shop2", false),
            ("Pod *.shop", "Pod web.shop", true),
            ("Pod *.shop", "Pod web.test", false),
            ("* w*b.*", "Pod web.shop", true),
            ("*", "anything", true),
            ("a*a", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn resources_are_written_either_way() {
        let origin = Origin {
            kind: "Pod".to_owned(),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
            reference: None,
        };
        let covers = |text: &str| {
            let suppression: Suppression = text.parse().unwrap();
            suppression.covers(&origin, "IST0103")
        };
        assert!(covers("IST0103=Pod web.shop") && covers("IST0103=Pod shop/*"));
        assert!(!covers("IST0102=Pod web.shop") && !covers("IST0103=Pod web"));
        for nonsense in ["", "IST0103", "IST0103=Pod=a"] {
            assert!(nonsense.parse::<Suppression>().is_err(), "{nonsense}");
        }
    }
}
