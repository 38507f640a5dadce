//! Figures and the table of them: medians with their spread.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// One thing that was measured several times.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figure {
    /// Unit of the values.
    pub unit: &'static str,
    /// All values, in the order they were taken.
    pub values: Vec<f64>,
}

impl Figure {
    /// The middle of the values.
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

    fn range(&self) -> (f64, f64) {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }
}

/// Figures by what was measured and on whom.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table(BTreeMap<String, BTreeMap<&'static str, Figure>>);

impl Table {
    /// One more value.
    pub fn add(
        &mut self,
        what: impl Into<String>,
        whom: &'static str,
        unit: &'static str,
        value: f64,
    ) {
        let figure = self
            .0
            .entry(what.into())
            .or_default()
            .entry(whom)
            .or_default();
        figure.unit = unit;
        figure.values.push(value);
    }

    /// What was measured of somebody, if it was.
    #[must_use]
    pub fn figure(&self, what: &str, whom: &str) -> Option<&Figure> {
        self.0.get(what)?.get(whom)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, figures) in &self.0 {
            for (whom, figure) in figures {
                let (least, most) = figure.range();
                writeln!(
                    formatter,
                    "{what:<56} {whom:<8} {:>10.2} {:<4} ({least:.2} to {most:.2})",
                    figure.median(),
                    figure.unit,
                )?;
            }
            let [ours, theirs] = ["lateen", "envoy"].map(|whom| figures.get(whom));
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                let ratio = ours.median() / theirs.median();
                writeln!(formatter, "{:<56} {:<8} {ratio:>10.2}", "", "ratio")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |values: &[f64]| {
            Figure {
                unit: "",
                values: values.to_vec(),
            }
            .median()
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(of(&[]).is_nan());
    }

    #[test]
    fn the_ratio_stands_below_both() {
        let mut table = Table::default();
        table.add("CPU", "lateen", "us", 30.0);
        table.add("CPU", "envoy", "us", 90.0);
        assert!(table.to_string().lines().last().unwrap().ends_with("0.33"));
    }
}
