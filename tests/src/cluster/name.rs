//! The name of a cluster, which becomes part of the names of namespaces, control groups and nodes.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, ensure};

/// Longer ones would not fit with what is added to them.
const LONGEST: usize = 30;

/// The name of a cluster: small letters, digits and dashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Self {
        Self("lateen".to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let letters = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        ensure!(
            letters && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-'),
            "The name of a cluster is made of small letters, digits and dashes, begins with a letter \
             and does not end with a dash; \"{name}\" does not"
        );
        ensure!(
            name.len() <= LONGEST,
            "The name \"{name}\" is longer than {LONGEST} characters"
        );
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_fit_everywhere_are_taken() {
        for good in ["lateen", "a", "mesh-2"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", "-a", "2a", "a-", "A", "a_b", "a/b", "../a", &long] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
