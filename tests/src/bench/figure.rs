//! One thing that was measured several times: the median with its spread.

use serde::Serialize;

/// Values of one measure, in the order they were taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Figure {
    values: Vec<f64>,
}

impl Figure {
    /// One more value.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The middle of the values; not a number if there are none.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.len() % 2, sorted.get(middle), middle.checked_sub(1)) {
            (1, Some(value), _) => *value,
            (0, Some(upper), Some(below)) => sorted
                .get(below)
                .map_or(f64::NAN, |lower| f64::midpoint(*lower, *upper)),
            _ => f64::NAN,
        }
    }

    /// The least and the greatest value.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let values = || self.values.iter().copied();
        (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |values: &[f64]| {
            let values = values.to_vec();
            Figure { values }.median()
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(of(&[]).is_nan());
    }
}
