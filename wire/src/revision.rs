//! Revisions: several control planes side by side in a cluster (label `istio.io/rev`), told apart by
//! the ends of their objects' names.

use std::fmt;
use std::str::FromStr;

use crate::names::DEFAULT_REVISION;

/// Longest revision, in bytes. With our longest prefix it must be a DNS label (RFC 1123), since it
/// ends the names of Services.
const LONGEST: usize = 40;

/// The name of a revision: a DNS label, or `default` for the one whose objects have no suffix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

/// A text that cannot be a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be a revision: it must be a DNS label of at most {LONGEST} lower-case letters, digits and dashes, such as 1-2-0 or canary"
)]
pub struct InvalidRevision(String);

impl Revision {
    /// The revision's name, `default` for the default one; as in the label `istio.io/rev`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the revision that namespaces with `istio-injection=enabled` mean.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT_REVISION
    }

    /// The name that an object has in this revision: `istiod` or `istiod-canary`.
    #[must_use]
    pub fn name_of(&self, object: &str) -> String {
        if self.is_default() {
            object.to_owned()
        } else {
            format!("{object}-{}", self.0)
        }
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self(DEFAULT_REVISION.to_owned())
    }
}

impl FromStr for Revision {
    type Err = InvalidRevision;

    /// Reads a revision; an empty text is the default one, as in Istio's values.
    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label = text.len() <= LONGEST
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_label {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRevision(text.to_owned()))
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_others_than_the_default_end_names() {
        for default in ["", "default"] {
            let revision: Revision = default.parse().unwrap();
            assert!(revision.is_default());
            assert_eq!(revision.name_of("istiod"), "istiod");
        }
        let canary: Revision = "canary".parse().unwrap();
        assert_eq!(canary.name_of("istiod"), "istiod-canary");
    }

    #[test]
    fn a_revision_is_a_dns_label() {
        for good in ["1-2-0", "canary", "a", &"x".repeat(LONGEST)] {
            assert_eq!(good.parse::<Revision>().unwrap().as_str(), good);
        }
        for bad in [
            "1.2.0",
            "-a",
            "a-",
            "Canary",
            "a b",
            &"x".repeat(LONGEST + 1),
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
    }
}
