//! `cargo xtask`: every step that developers and CI take.

mod generate;
mod images;
mod output;
mod shell;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
    /// Write the Rust code of the messages in wire/proto
    Generate(generate::Options),
    /// Build the images
    Images(images::Options),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let workspace = Workspace::locate()?;
    match &arguments.command {
        Command::Generate(options) => generate::run(&workspace, options),
        Command::Images(options) => images::run(&workspace, options),
    }
}
