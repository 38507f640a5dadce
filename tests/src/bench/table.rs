//! All figures of a run, each beside its budget and beside Envoy's.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::figure::Figure;
use super::measure::{Budget, Measure};

/// Whom a value was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Our own programs.
    Lateen,
    /// Envoy in place of our proxy.
    Envoy,
    /// No proxies at all.
    Direct,
}

/// Figures by what was measured. Shown as Markdown; as JSON it is a list of [`Row`]s.
#[derive(Clone, Debug, Default)]
pub struct Table(BTreeMap<Measure, Figures>);

/// The figures of one measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateen: Option<Figure>,
    /// Envoy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envoy: Option<Figure>,
    /// Without proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<Figure>,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What values are in.
    pub unit: &'static str,
    /// What ours may be at most, in words.
    pub budget: Option<String>,
    /// The values.
    #[serde(flatten)]
    pub figures: Figures,
    /// Our median by Envoy's.
    pub ratio: Option<f64>,
    /// Whether ours is within the budget; nothing where the budget cannot be told.
    pub met: Option<bool>,
}

impl Subject {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lateen => "Lateen",
            Self::Envoy => "Envoy",
            Self::Direct => "no proxies",
        }
    }
}

impl Table {
    /// One more value.
    pub fn add(&mut self, measure: Measure, subject: Subject, value: f64) {
        let figures = self.0.entry(measure).or_default();
        let figure = match subject {
            Subject::Lateen => &mut figures.lateen,
            Subject::Envoy => &mut figures.envoy,
            Subject::Direct => &mut figures.direct,
        };
        figure.get_or_insert_default().add(value);
    }

    /// The lines, in the order of the measures.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.0
            .iter()
            .map(|(&measure, figures)| Row::new(measure, figures.clone()))
    }
}

impl Row {
    fn new(measure: Measure, figures: Figures) -> Self {
        let median = |figure: &Option<Figure>| figure.as_ref().map(Figure::median);
        let (ours, envoy) = (median(&figures.lateen), median(&figures.envoy));
        // On a busy machine what a pair adds may drown in noise, and then says nothing.
        let ratio = ours
            .zip(envoy)
            .filter(|&(ours, envoy)| ours > 0.0 && envoy > 0.0)
            .map(|(ours, envoy)| ours / envoy);
        let (budget, met) = match measure.budget() {
            None => (None, None),
            Some(Budget::AtMost(limit)) => (
                Some(format!("{limit} {}", measure.unit())),
                ours.map(|ours| ours <= limit),
            ),
            Some(Budget::ShareOfEnvoy(share)) => (
                Some(format!("{share} of Envoy's")),
                ratio.map(|ratio| ratio <= share),
            ),
        };
        Self {
            what: measure.to_string(),
            unit: measure.unit(),
            budget,
            figures,
            ratio,
            met,
        }
    }

    fn cell(&self, figure: Option<&Figure>) -> String {
        let Some(figure) = figure else {
            return "-".to_owned();
        };
        let (median, (least, most)) = (figure.median(), figure.range());
        let digits = if median.abs() < 1.0 { 3 } else { 2 };
        let unit = self.unit;
        if least.to_bits() == most.to_bits() {
            format!("{median:.digits$} {unit}")
        } else {
            format!("{median:.digits$} {unit} ({least:.digits$} to {most:.digits$})")
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "| what | budget | ours | Envoy | no proxies | ratio | met |\n|---|---|---|---|---|---|---|"
        )?;
        self.rows().try_for_each(|row| writeln!(formatter, "{row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "not yet",
            None => "-",
        };
        let ratio = self
            .ratio
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let [ours, envoy, direct] = [
            &self.figures.lateen,
            &self.figures.envoy,
            &self.figures.direct,
        ]
        .map(|figure| self.cell(figure.as_ref()));
        let budget = self.budget.as_deref().unwrap_or("-");
        write!(
            formatter,
            "| {} | {budget} | {ours} | {envoy} | {direct} | {ratio} | {met} |",
            self.what
        )
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows())
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Load;
    use super::super::measure::Percentile;
    use super::*;

    #[test]
    fn a_row_says_whether_its_budget_is_met() {
        let mut table = Table::default();
        let cpu = Measure::Cpu(Load::Steady16);
        table.add(cpu, Subject::Lateen, 40.0);
        table.add(cpu, Subject::Lateen, 50.0);
        table.add(cpu, Subject::Envoy, 75.0);
        table.add(Measure::IdleMemory, Subject::Lateen, 7.5);
        let added = Measure::AddedLatency(Load::Steady16, Percentile::P99);
        table.add(added, Subject::Lateen, 3.0);
        table.add(added, Subject::Envoy, -1.0);
        let latency = Measure::Latency(Load::Steady16, Percentile::P50);
        table.add(latency, Subject::Direct, 0.5);
        let text = table.to_string();
        let rows: Vec<_> = text.lines().skip(2).collect();
        let expected = [
            "| CPU per request and sidecar, 1,000 rps, 16 connections | 0.5 of Envoy's \
             | 45.00 us (40.00 to 50.00) | 75.00 us | - | 0.60 | not yet |",
            "| latency added by both sidecars, 1,000 rps, 16 connections, p99 | 0.5 of Envoy's \
             | 3.00 ms | -1.00 ms | - | - | - |",
            "| latency, 1,000 rps, 16 connections, p50 | - | - | - | 0.500 ms | - | - |",
            "| memory of a sidecar, idle | 8 MB | 7.50 MB | - | - | - | yes |",
        ];
        assert_eq!(rows, expected);
        let json = serde_json::to_value(&table).unwrap();
        assert_eq!(json[0]["met"], false);
        assert_eq!(json[0]["lateen"], serde_json::json!([40.0, 50.0]));
    }
}
