//! Durations as Istio's resources write them: protobuf JSON (`10s`, `1.5s`) and, as Istio accepts
//! them too, Go's longer form (`3m`, `1h30m`, `100ms`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;

/// A length of time that is not negative. Printed as protobuf JSON prints it: seconds with an `s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// No time at all; for most fields this means "off".
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// A text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; allowed are numbers with a unit, such as 10s, 1.5s, 100ms or 3m")]
pub struct InvalidDuration(String);

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        nanoseconds(text).map_or_else(
            || Err(InvalidDuration(text.to_owned())),
            |total| Ok(Self(std::time::Duration::from_nanos(total))),
        )
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.0.as_secs(), self.0.subsec_nanos());
        if rest == 0 {
            return write!(formatter, "{seconds}s");
        }
        let fraction = format!("{rest:09}");
        write!(formatter, "{seconds}.{}s", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The sum of all `NUMBER UNIT` pairs of a text.
fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() || text.is_empty() {
        let after_number = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(after_number);
        let after_unit = tail
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(after_unit);
        total = total.checked_add(scale(number, unit_nanoseconds(unit)?)?)?;
        rest = tail;
    }
    u64::try_from(total).ok()
}

const fn unit_nanoseconds(unit: &str) -> Option<u128> {
    match unit.as_bytes() {
        b"ns" => Some(1),
        b"us" | b"\xc2\xb5s" => Some(1_000),
        b"ms" => Some(1_000_000),
        b"s" => Some(NANOSECONDS_PER_SECOND),
        b"m" => Some(60 * NANOSECONDS_PER_SECOND),
        b"h" => Some(3_600 * NANOSECONDS_PER_SECOND),
        _ => None,
    }
}

/// A decimal number with at most nine places, times a unit.
fn scale(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    Some(digits.checked_mul(unit)? / 10_u128.pow(places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_istio_reads_and_prints_protobuf_json() {
        let cases = [
            ("0s", "0s"),
            ("10s", "10s"),
            ("1.5s", "1.5s"),
            (".5s", "0.5s"),
            ("0.000000001s", "0.000000001s"),
            ("100ms", "0.1s"),
            ("3m", "180s"),
            ("1h30m", "5400s"),
            ("1µs", "0.000001s"),
        ];
        for (text, printed) in cases {
            let duration: Duration = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(duration.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else_with_what_is_allowed() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.s.",
            ".s",
            "1x",
            "10 s",
            "9999999999999999h",
        ] {
            let error = text.parse::<Duration>().unwrap_err();
            assert!(error.to_string().contains("allowed"), "{text}: {error}");
        }
    }
}
