//! `lateenctl check-inject`: who would inject a pod and why, rule by rule. First the API server
//! decides by the selectors of webhook configurations whom it asks; then the injector that is asked
//! decides by its policy.

mod policy;
mod report;
mod subject;
mod verdict;

use anyhow::{Result, ensure};

use crate::arguments::{CheckInject, Connection};
use crate::cluster::connect;
use crate::console::Console;
use crate::hooks;
use policy::Policies;
use report::Report;
use subject::Subject;
use verdict::Verdict;

/// Explains.
///
/// # Errors
/// What is asked about cannot be found or read, there is no injector at all, or there are several
/// that would inject the same pod.
pub async fn run(connection: &Connection, options: &CheckInject, console: &Console) -> Result<()> {
    let client = connect(connection).await?;
    let subject = Subject::find(&client, connection, options).await?;
    let hooks = hooks::list(&client).await?;
    ensure!(
        !hooks.is_empty(),
        "the cluster has no sidecar injector: no MutatingWebhookConfiguration has its entries; is the mesh installed?"
    );
    let mut policies = Policies::new(&client);
    let mut verdicts = Vec::new();
    for hook in &hooks {
        let mut verdict = Verdict::of_selectors(hook, &subject);
        if verdict.is_asked() {
            verdict.ask(policies.explain(hook, &subject).await);
        }
        verdicts.push(verdict);
    }
    let report = Report::new(&subject, verdicts);
    console.answer(options.output, &report, || report.to_text())?;
    report.refuse_rivals()
}
