//! The stages of a run: what passed and how long it took.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::output;

/// Every stage so far. Threads may do stages at the same time.
#[derive(Debug)]
pub(crate) struct Report {
    started: Instant,
    stages: Mutex<Vec<Stage>>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    /// Why it failed, if it did.
    failure: Option<String>,
    took: Duration,
}

impl Report {
    /// The report of a run that begins now.
    pub(crate) fn begin() -> Self {
        Self {
            started: Instant::now(),
            stages: Mutex::default(),
        }
    }

    /// Does `work` as the stage `name`. That it failed is said at once, and why in the end.
    pub(crate) fn stage<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        output::step(name);
        let started = Instant::now();
        let result = work();
        let failure = result.as_ref().err().map(|error| format!("{error:#}"));
        if failure.is_some() {
            output::line(&format!("FAILED {name}"));
        }
        let stage = Stage {
            name: name.to_owned(),
            failure,
            took: started.elapsed(),
        };
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.push(stage);
        result.ok()
    }

    /// Prints the table of all stages, and last why any failed: in a long run nobody looks for it
    /// among the rest.
    ///
    /// # Errors
    /// When a stage failed.
    pub(crate) fn finish(self) -> Result<()> {
        let stages = self.stages.into_inner();
        let stages = stages.unwrap_or_else(PoisonError::into_inner);
        let rows: Vec<_> = stages.iter().map(Stage::row).collect();
        output::line("");
        output::table(["STAGE", "RESULT", "TIME"], &rows);
        let took = output::duration(self.started.elapsed());
        output::line(&format!("{took} in all"));
        let failures = stages.iter().filter_map(Stage::failure);
        let failures: Vec<String> = failures.collect();
        if !failures.is_empty() {
            output::line(&failures.join("\n"));
            bail!("{} of {} stages failed", failures.len(), stages.len());
        }
        Ok(())
    }
}

impl Stage {
    fn failure(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!("\nFAILED {}: {failure}", self.name))
    }

    fn row(&self) -> [String; 3] {
        let result = self.failure.as_ref().map_or("passed", |_| "FAILED");
        [
            self.name.clone(),
            result.to_owned(),
            output::duration(self.took),
        ]
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::Report;

    #[test]
    fn a_failed_stage_fails_the_run_but_not_the_next_stage() {
        let report = Report::begin();
        assert_eq!(
            report.stage::<()>("broken", || Err(anyhow!("on purpose"))),
            None
        );
        assert_eq!(report.stage("whole", || Ok(1)), Some(1));
        let error = report.finish().expect_err("a stage failed");
        assert_eq!(error.to_string(), "1 of 2 stages failed");
    }

    #[test]
    fn nothing_failed_is_success() {
        let report = Report::begin();
        report.stage("whole", || Ok(()));
        report.finish().expect("all stages passed");
    }
}
