//! `lateenctl manifest`: prints objects without a cluster.

use anyhow::Result;

use crate::arguments::{Connection, Manifest as Command};
use crate::console::Console;
use crate::manifest::{Manifest, to_yaml};
use crate::values::{Sources, Values};

/// Prints what the command asks for.
///
/// # Errors
/// A value is wrong, or standard output is closed.
pub fn run(connection: &Connection, command: &Command, console: &Console) -> Result<()> {
    match command {
        Command::Generate(flags) => {
            let values = Values::load(&flags.sources(connection))?;
            values
                .warnings
                .iter()
                .for_each(|warning| console.warning(warning));
            console.result(&to_yaml(Manifest::build(&values)?.objects())?)
        }
        Command::Crds => console.result(&definitions()?),
    }
}

/// The custom resource definitions as the file of the chart `base` has them.
///
/// # Errors
/// Only if a definition cannot be written as YAML.
pub fn definitions() -> Result<String> {
    let manifest = Manifest::build(&Values::load(&Sources::default())?)?;
    Ok(format!(
        "# Generated from the Rust types of the API by `lateenctl manifest crds`.\n{}",
        to_yaml(&manifest.definitions)?
    ))
}
