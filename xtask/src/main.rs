//! `cargo xtask`: every step that developers and CI take.

mod bench;
mod blocking;
mod demo;
mod generate;
mod images;
mod kubectl;
mod lengths;
mod mesh;
mod output;
mod shell;
mod test;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lateen_tests::{bench::Options as BenchOptions, cluster};

use crate::workspace::Workspace;

/// Every step that developers and CI take.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Measure what a sidecar costs, beside Envoy
    Bench(BenchOptions),
    /// Make, mend and take down local Kubernetes clusters
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Show Bookinfo in the mesh, on a cluster of one node
    Demo(demo::Options),
    /// Write the Rust code of the messages in wire/proto
    Generate(generate::Options),
    /// Build the images
    Images(images::Options),
    /// Run the tests
    Test(test::Options),
}

fn main() -> ExitCode {
    let Err(error) = run(Arguments::parse()) else {
        return ExitCode::SUCCESS;
    };
    // Without the stack that anyhow adds for developers of the task itself. Nobody is left to tell
    // when stderr is closed.
    let _ = writeln!(std::io::stderr(), "Error: {error:#}");
    ExitCode::FAILURE
}

fn run(arguments: Arguments) -> Result<()> {
    let workspace = Workspace::locate()?;
    match arguments.command {
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Cluster(command) => blocking::wait_for(cluster::run(command)),
        Command::Demo(options) => demo::run(&workspace, &options),
        Command::Generate(options) => generate::run(&workspace, &options),
        Command::Images(options) => images::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
    }
}
