//! A version of Istio, as people write it.

use std::fmt;
use std::str::FromStr;

/// A minor version of Istio 1; its patches change nothing that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IstioVersion {
    minor: u32,
}

impl IstioVersion {
    /// Version `1.MINOR`.
    pub(super) const fn of_minor(minor: u32) -> Self {
        Self { minor }
    }
}

/// Reads `1.21`, `1.21.3` and `v1.21.3-distroless`.
impl FromStr for IstioVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("{text:?} is not a version of Istio 1, such as 1.21 or 1.21.3");
        let release = text.strip_prefix('v').unwrap_or(text);
        let numbers = release
            .split_once('-')
            .map_or(release, |(numbers, _)| numbers);
        let numbers: Vec<u32> = numbers
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| refusal())?;
        match numbers.as_slice() {
            [1, minor] | [1, minor, _] => Ok(Self::of_minor(*minor)),
            _ => Err(refusal()),
        }
    }
}

impl fmt::Display for IstioVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_write_them() {
        for text in [
            "1.21",
            "1.21.3",
            "v1.21.3",
            "1.21.3-distroless",
            "1.21-alpha.abc",
        ] {
            assert_eq!(text.parse(), Ok(IstioVersion::of_minor(21)), "{text}");
        }
        for text in [
            "", "1", "2.0", "1.x", "1.21.", "1.21.3.4", "1,21", "1.-2", "latest",
        ] {
            let refusal = text.parse::<IstioVersion>().unwrap_err();
            assert!(refusal.contains("such as 1.21"), "{text}: {refusal}");
        }
    }
}
