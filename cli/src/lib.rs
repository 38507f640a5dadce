//! `lateenctl`: installs the mesh, takes it away again and looks into it. It also answers as
//! `istioctl`, with the same commands and flags.
//!
//! [`values`] reads what a user asks for, [`manifest`] builds the objects from it, [`install`] and
//! [`uninstall`] bring a cluster there and back. [`hooks`] are the injectors that a cluster knows;
//! [`tag`] changes which one labels mean, [`injector`] lists whom they inject, [`check_inject`] explains
//! it, [`precheck`] looks whether they work, and [`analyze`] at what people have written for them.
//! [`console`] is the only place that prints.

pub mod analyze;
pub mod arguments;
pub mod check_inject;
pub mod cluster;
pub mod console;
pub mod hooks;
pub mod injector;
pub mod install;
pub mod kube_inject;
pub mod level;
pub mod manifest;
pub mod precheck;
pub mod render;
pub mod tag;
pub mod uninstall;
pub mod values;
pub mod version;

mod deletion;
mod injection;
mod pages;
mod readiness;
mod table;
mod trouble;
mod wait;

#[cfg(test)]
mod fake_cluster;

use anyhow::Result;

use crate::arguments::{Arguments, Command, Experimental};
use crate::console::Console;

/// Runs one command.
///
/// # Errors
/// What was tried, on what, why it failed and what to do.
pub async fn run(arguments: Arguments, console: &Console) -> Result<()> {
    let Arguments {
        connection,
        command,
    } = arguments;
    match command {
        Command::Install(options) => install::run(&connection, &options, console).await,
        Command::Uninstall(options) => uninstall::run(&connection, &options, console).await,
        Command::Version(options) => version::run(&connection, &options, console).await,
        Command::KubeInject(options) => kube_inject::run(&connection, &options, console).await,
        Command::CheckInject(options)
        | Command::Experimental(Experimental::CheckInject(options)) => {
            check_inject::run(&connection, &options, console).await
        }
        Command::Precheck(options) | Command::Experimental(Experimental::Precheck(options)) => {
            precheck::run(&connection, &options, console).await
        }
        Command::Analyze(options) => analyze::run(&connection, &options, console).await,
        Command::Injector(command) | Command::Experimental(Experimental::Injector(command)) => {
            injector::run(&connection, &command, console).await
        }
        Command::Tag(command) => tag::run(&connection, &command, console).await,
        Command::Manifest(command) => render::run(&connection, &command, console),
    }
}
