//! Kubernetes quantities such as `100m` or `1.5Gi`: what the API server accepts, and which of two is
//! the larger (k8s.io/apimachinery, package `api/resource`).

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A quantity that is not negative. It keeps the spelling it was written in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Amount {
    text: String,
    value: f64,
}

impl Amount {
    /// Reads a quantity; `None` if the API server would not accept it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text
            .bytes()
            .position(|byte| !byte.is_ascii_digit() && byte != b'.');
        let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        if digits == 0 || number.len() > digits + 1 {
            return None;
        }
        let value = number.parse::<f64>().ok()? * scale(suffix)?;
        value.is_finite().then(|| Self {
            text: text.to_owned(),
            value,
        })
    }

    pub(crate) fn exceeds(&self, other: &Self) -> bool {
        self.value > other.value
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        !self.exceeds(other) && !other.exceeds(self)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn to_quantity(&self) -> Quantity {
        Quantity(self.text.clone())
    }
}

fn scale(suffix: &str) -> Option<f64> {
    let power = |exponent| Some(1024_f64.powi(exponent));
    match suffix {
        "" => Some(1.0),
        "n" => Some(1e-9),
        "u" => Some(1e-6),
        "m" => Some(1e-3),
        "k" => Some(1e3),
        "M" => Some(1e6),
        "G" => Some(1e9),
        "T" => Some(1e12),
        "P" => Some(1e15),
        "E" => Some(1e18),
        "Ki" => power(1),
        "Mi" => power(2),
        "Gi" => power(3),
        "Ti" => power(4),
        "Pi" => power(5),
        "Ei" => power(6),
        _ => exponent(suffix),
    }
}

/// `e3`, `E-6`: at most three digits, which is more than any resource needs.
fn exponent(suffix: &str) -> Option<f64> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || unsigned.len() > 3 {
        return None;
    }
    Some(10_f64.powi(digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_api_server_reads() {
        for text in [
            "0", "1", "100m", "1.5Gi", ".5", "5.", "1e3", "1E3", "2E", "12e-3", "128Mi",
        ] {
            assert!(Amount::parse(text).is_some(), "{text}");
        }
        for text in [
            "", ".", "-1", "1 Gi", "1gi", "1.2.3", "Gi", "1e", "1e+", "1ee3", "0x10", "1\n",
        ] {
            assert!(Amount::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn compares_across_units() {
        let amount = |text| Amount::parse(text).unwrap();
        assert!(amount("2").exceeds(&amount("1500m")));
        assert!(amount("1Gi").exceeds(&amount("1G")));
        assert!(!amount("1000m").exceeds(&amount("1")));
    }
}
