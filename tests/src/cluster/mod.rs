//! The local cluster: a real Kubernetes on one machine, made in about half a minute and taken down
//! without a trace.
//!
//! Every [`Node`] is a set of namespaces round one first process (see `node`), joined by a bridge
//! (see `network`). The first node runs the control plane, each node containerd, kubelet and
//! kube-proxy (see `component`). Programs come from Debian's packages and from Go modules that are
//! built once (see `machine` and `tools`). State is in the cache folder (see `cache`), and nothing
//! else on the machine changes, except for one link and the routes through it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use lateen_tests::cluster::{self, Spec};
//!
//! let cluster = cluster::up(&Spec::default()).await?;
//! cluster.import_image("image.tar".as_ref()).await?;
//! println!("export KUBECONFIG={}", cluster.kubeconfig().display());
//! cluster::down(cluster.name()).await?;
//! # Ok(())
//! # }
//! ```

mod boot;
mod cache;
mod cgroup;
mod cli;
pub(crate) mod command;
mod component;
mod config;
mod health;
mod images;
mod load_balancer;
mod lock;
mod machine;
mod name;
mod network;
mod node;
mod pki;
mod plan;
mod process;
mod progress;
mod record;
mod tools;
mod wait;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use self::boot::{down, up};
pub use self::cache::Cache;
pub use self::cli::{Command, run};
pub use self::health::{Row, State, Status};
pub use self::machine::prepare_for_redirection;
pub use self::name::Name;
pub use self::node::Node;
pub use self::plan::{Address, Range};
pub use self::progress::Progress;
pub use self::tools::{FORTIO, HELM, KUBERNETES, Tool};

use self::pki::{Certificates, Client};
use self::plan::{Plan, Slot};
use self::record::Record;

/// What a cluster shall be like.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name; clusters of different names live side by side.
    pub name: Name,
    /// The number of nodes, 1 to 9.
    pub nodes: u8,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: Name::default(),
            nodes: 1,
        }
    }
}

/// A cluster that has been made, whether or not it is in good health.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: Name,
    slot: Slot,
    folder: PathBuf,
    nodes: Vec<Node>,
}

impl Cluster {
    /// The cluster of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &Name) -> Result<Self> {
        let cache = Cache::locate()?;
        let record = Record::read(&cache, name)?.with_context(|| {
            format!(
                "There is no cluster {name}; make it with `cargo xtask cluster up --name {name}`"
            )
        })?;
        Ok(Self::new(&cache, name, record))
    }

    fn new(cache: &Cache, name: &Name, record: Record) -> Self {
        let folder = cache.cluster(name.as_str());
        let plan = record.slot.plan();
        let node = |number| Node::new(name.as_str(), number, plan, &folder);
        let nodes = (1..=record.nodes).map(node).collect();
        Self {
            name: name.clone(),
            slot: record.slot,
            folder,
            nodes,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its nodes; the first has the control plane.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A kubeconfig that may do everything, for clients on the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The host as pods see it, at the only addresses outside that they reach; its name in the
    /// cluster's DNS is `host.lateen.internal`.
    pub fn host(&self) -> Address {
        self.plan().host()
    }

    /// The addresses of pods; they reach each other, and the host, from and at these.
    pub fn pods(&self) -> Range {
        self.plan().pods()
    }

    /// The addresses of Services.
    pub fn services(&self) -> Range {
        self.plan().services()
    }

    /// A client that may do everything.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Result<kube::Client> {
        let path = self.kubeconfig();
        let file =
            Kubeconfig::read_from(&path).with_context(|| format!("Reading {}", path.display()))?;
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(file, &options).await?;
        config.connect_timeout = Some(Duration::from_secs(2));
        kube::Client::try_from(config).context("Making a client of the cluster")
    }

    /// Makes the images in a `docker-archive` available on every node.
    ///
    /// # Errors
    /// When a node does not run or its containerd refuses the archive.
    pub async fn import_image(&self, archive: &Path) -> Result<()> {
        let import = async |node: &Node| {
            let file = std::fs::File::open(archive)
                .with_context(|| format!("Opening {}", archive.display()))?;
            let mut import = node.command("ctr")?;
            import
                .args(component::containerd_client())
                .args(["images", "import", "-"]);
            command::run_with_stdin(&mut import, file).await.map(drop)
        };
        try_join_all(self.nodes.iter().map(import)).await.map(drop)
    }

    /// How it is.
    pub async fn status(&self) -> Status {
        health::status(self).await
    }

    fn plan(&self) -> Plan {
        self.slot.plan()
    }

    fn certificates(&self) -> Certificates {
        Certificates::in_folder(self.folder.join("pki"))
    }

    /// Copies the kubeconfig of the administrator to its place.
    fn write_kubeconfig(&self) -> Result<()> {
        let admin = self.certificates().kubeconfig(Client::Admin);
        std::fs::copy(&admin, self.kubeconfig())
            .map(drop)
            .with_context(|| format!("Copying {}", admin.display()))
    }
}

/// A cluster that is nowhere, for tests of what is rendered for one.
#[cfg(test)]
mod example {
    use super::*;

    pub(crate) fn cluster(nodes: u8) -> Cluster {
        let slot = Slot::first_free(&[]).unwrap();
        let folder = PathBuf::from("/cache/run/mesh");
        let node = |number| Node::new("mesh", number, slot.plan(), &folder);
        let nodes = (1..=nodes).map(node).collect();
        Cluster {
            name: "mesh".parse().unwrap(),
            slot,
            folder,
            nodes,
        }
    }
}
