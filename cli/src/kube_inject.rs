//! `lateenctl kube-inject`.

use anyhow::{Result, bail};

use crate::arguments::{Connection, KubeInject};
use crate::console::Console;

/// Injects the workloads of a file.
///
/// # Errors
/// Always, until the injector's library is joined.
pub async fn run(_: &Connection, options: &KubeInject, _: &Console) -> Result<()> {
    bail!(
        "cannot inject {}: not built in yet",
        options.filename.display()
    )
}
