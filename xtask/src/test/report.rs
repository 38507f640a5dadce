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
    passed: bool,
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

    /// Does `work` as the stage `name`. A failure is said at once and remembered.
    pub(crate) fn stage<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        output::step(name);
        let started = Instant::now();
        let result = work();
        let stage = Stage {
            name: name.to_owned(),
            passed: result.is_ok(),
            took: started.elapsed(),
        };
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.push(stage);
        drop(stages);
        result
            .inspect_err(|error| output::line(&format!("FAILED {name}: {error:#}")))
            .ok()
    }

    /// Prints the table of all stages.
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
        let failed = stages.iter().filter(|stage| !stage.passed).count();
        if failed > 0 {
            bail!("{failed} of {} stages failed", stages.len());
        }
        Ok(())
    }
}

impl Stage {
    fn row(&self) -> [String; 3] {
        let result = if self.passed { "passed" } else { "FAILED" };
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
