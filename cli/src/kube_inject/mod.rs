//! `lateenctl kube-inject`: adds the sidecar to the workloads of a file, as the injector would.
//! Standard output is YAML only. Whoever injects by hand has decided: the policy and the selectors
//! of the configuration do not apply, what a pod says of itself does.

mod live;
mod settings;
mod surroundings;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use lateen_webhook::parameters::Parameters;
use lateen_webhook::{Target, kube_inject};

use crate::arguments::{Connection, KubeInject};
use crate::console::Console;
use settings::Settings;
use surroundings::Surroundings;

/// Injects the workloads of a file.
///
/// # Errors
/// A file or the cluster's configuration cannot be read, the configuration cannot be used, or a pod
/// has annotations with values they cannot have.
pub async fn run(connection: &Connection, options: &KubeInject, console: &Console) -> Result<()> {
    if let Some(flag) = options.discovery.first_given() {
        console.warning(&format!(
            "{flag} has no effect: injection happens here, with the configuration of the injector."
        ));
    }
    let manifests = read(&options.filename)?;
    let settings = Settings::gather(connection, options, console).await?;
    let injector = settings.injector(console)?;
    let on_openshift = injector.config().values.global.is_openshift();
    let surroundings = match &settings.client {
        Some(client) => Surroundings::of(client, on_openshift).await,
        None => Surroundings::unknown(on_openshift),
    };
    let target = Target {
        namespace: &settings.namespace,
        parameters: &Parameters::default(),
        cluster: &surroundings.cluster,
        owner: None,
    };
    let injected = kube_inject(&manifests, &injector, &target)
        .with_context(|| format!("cannot inject {}", options.filename.display()))?;
    let notices = surroundings.notices.iter().chain(&injected.notices);
    notices.for_each(|notice| console.warning(notice));
    match &options.output {
        None => console.result(&injected.yaml),
        Some(file) => std::fs::write(file, &injected.yaml)
            .with_context(|| format!("cannot write {}", file.display())),
    }
}

/// The content of a file, `-` being standard input.
fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let outcome = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|content| text = content)
    };
    outcome.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}
