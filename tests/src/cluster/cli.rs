//! `cargo xtask cluster`: what people type.

use std::io::{Write as _, stdout};

use anyhow::{Result, ensure};
use clap::{Subcommand, ValueEnum};

use super::cache::Cache;
use super::health::{Row, Status};
use super::load_balancer;
use super::name::Name;
use super::{Cluster, Spec, boot};

/// What can be done with a local cluster.
///
/// A program has to offer these below a subcommand `cluster`: a cluster runs the program that made it
/// as `cluster load-balancer`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a cluster, or mend the one there is
    Up {
        /// Name; clusters of different names live side by side
        #[arg(long, default_value_t)]
        name: Name,
        /// Number of nodes, each in a zone of its own
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
    },
    /// Take a cluster down, with everything in it
    Down {
        /// Name of the cluster
        #[arg(long, default_value_t)]
        name: Name,
    },
    /// Tell how a cluster is; fails unless it is healthy
    Status {
        /// Name of the cluster
        #[arg(long, default_value_t)]
        name: Name,
        /// How to print it
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
    /// Give Services of type LoadBalancer their addresses (started by `up`)
    #[command(hide = true)]
    LoadBalancer {
        /// Name of the cluster
        #[arg(long, default_value_t)]
        name: Name,
    },
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Output {
    /// For programs
    Json,
    /// For people
    #[default]
    Table,
}

/// Does what was asked for.
///
/// # Errors
/// When it fails; for `status` also when the cluster is not healthy.
pub async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up { name, nodes } => {
            let cluster = boot::up(&Spec { name, nodes }).await?;
            print(&hint(&cluster, &Cache::locate()?))
        }
        Command::Down { name } => boot::down(&name).await,
        Command::Status { name, output } => status(&name, output).await,
        Command::LoadBalancer { name } => load_balancer::run(&Cluster::find(&name)?).await,
    }
}

async fn status(name: &Name, output: Output) -> Result<()> {
    let status = Cluster::find(name)?.status().await;
    print(&match output {
        Output::Json => serde_json::to_string_pretty(&status)? + "\n",
        Output::Table => table(&status),
    })?;
    ensure!(
        status.healthy,
        "Cluster {name} is not healthy; `cargo xtask cluster up --name {name}` mends it"
    );
    Ok(())
}

fn print(text: &str) -> Result<()> {
    Ok(stdout().write_all(text.as_bytes())?)
}

fn hint(cluster: &Cluster, cache: &Cache) -> String {
    format!(
        "export KUBECONFIG={}\nexport PATH={}:$PATH\n",
        cluster.kubeconfig().display(),
        cache.programs().display()
    )
}

fn table(status: &Status) -> String {
    let cells = |row: &Row| {
        let node = row.node.clone().unwrap_or_default();
        let pid = row.pid.map(|pid| pid.to_string()).unwrap_or_default();
        let address = row.address.clone().unwrap_or_default();
        [
            row.component.clone(),
            node,
            pid,
            row.state.to_string(),
            address,
        ]
    };
    let titles = ["COMPONENT", "NODE", "PID", "STATE", "ADDRESS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(titles)
        .chain(status.components.iter().map(cells))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or_default()
    };
    let line = |row: &[String; 5]| {
        let padded = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:0$}", width(column)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::health::State;
    use super::*;

    #[test]
    fn columns_of_the_table_are_aligned() {
        let row = |component: &str, pid, state, address: &str| Row {
            component: component.to_owned(),
            node: Some("lateen-node1".to_owned()),
            pid,
            state,
            address: Some(address.to_owned()),
        };
        let status = Status {
            cluster: "lateen".to_owned(),
            healthy: false,
            components: vec![
                row("etcd", Some(7), State::Running, "127.0.0.1:2379"),
                row(
                    "kube-apiserver",
                    None,
                    State::Dead,
                    "https://10.100.0.11:6443",
                ),
            ],
        };
        insta::assert_snapshot!(table(&status), @r"
        COMPONENT       NODE          PID  STATE    ADDRESS
        etcd            lateen-node1  7    running  127.0.0.1:2379
        kube-apiserver  lateen-node1       dead     https://10.100.0.11:6443
        ");
    }
}
