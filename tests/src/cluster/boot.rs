//! Making a cluster, mending one, and taking one down.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;

use super::cache::Cache;
use super::command::{host, run_with_input};
use super::component::Component;
use super::config;
use super::health;
use super::images::{self, Images};
use super::lock::Lock;
use super::machine;
use super::name::Name;
use super::network::{self, Network};
use super::node::{self, Node};
use super::progress::Progress;
use super::record::Record;
use super::tools::{KUBERNETES, PAUSE};
use super::wait::until;
use super::{Cluster, Spec};

/// How often a cluster's boot is tried.
const TRIES: usize = 3;
/// The most nodes that a cluster can have.
const MOST_NODES: u8 = 9;
/// How long each step of a boot may take, on a machine that is busy with other things.
const STEP: Duration = Duration::from_secs(120);
/// How long the kernel may take to let go of a node's files.
const REMOVAL: Duration = Duration::from_secs(20);

/// Makes a cluster, or mends what has died of it, and returns when pods can run and find each other
/// by name. One that is well is left as it is.
///
/// # Errors
/// When this machine lacks something (nothing is made then), when there is a cluster of this name
/// with another number of nodes, or when three tries to boot it fail (it is taken down then).
pub async fn up(spec: &Spec) -> Result<Cluster> {
    let progress = Progress::begin();
    machine::check_privileges()?;
    ensure!(
        (1..=MOST_NODES).contains(&spec.nodes),
        "A cluster has 1 to {MOST_NODES} nodes, not {}",
        spec.nodes
    );
    let cache = Cache::locate()?;
    let _alone = Lock::take(&cache, spec.name.as_str())?;
    if let Some(cluster) = existing(&cache, spec)?
        && cluster.status().await.healthy
    {
        progress.tell(format_args!("Cluster {} is already up", spec.name));
        return Ok(cluster);
    }
    machine::prepare_for_cluster(&progress).await?;
    machine::check_kernel().await?;
    let programs = Programs::get(&cache, &progress).await?;
    Boot {
        spec,
        cache: &cache,
        programs: &programs,
        progress,
    }
    .run()
    .await
}

/// Takes a cluster down: its processes, mounts, namespaces, control groups, routes and files. One
/// that is half gone or not there at all is fine.
///
/// # Errors
/// When something of it cannot be removed.
pub async fn down(name: &Name) -> Result<()> {
    let progress = Progress::begin();
    machine::check_privileges()?;
    let cache = Cache::locate()?;
    let _alone = Lock::take(&cache, name.as_str())?;
    remove(&cache, name).await?;
    progress.tell(format_args!("Cluster {name} is down"));
    Ok(())
}

/// What a cluster is booted from.
struct Programs {
    kubernetes: PathBuf,
    pause: PathBuf,
    images: Images,
}

impl Programs {
    async fn get(cache: &Cache, progress: &Progress) -> Result<Self> {
        let images = images::get(cache, progress).await?;
        let kubernetes = KUBERNETES.get(cache, progress).await?;
        let pause = PAUSE.get(cache, progress).await?.join(PAUSE.name);
        Ok(Self {
            kubernetes,
            pause,
            images,
        })
    }
}

struct Boot<'a> {
    spec: &'a Spec,
    cache: &'a Cache,
    programs: &'a Programs,
    progress: Progress,
}

impl Boot<'_> {
    async fn run(&self) -> Result<Cluster> {
        for attempt in 1..TRIES {
            match self.attempt().await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => self
                    .progress
                    .tell(format_args!("Try {attempt} failed: {error:#}")),
            }
            remove(self.cache, &self.spec.name).await?;
        }
        let last = self.attempt().await;
        if last.is_err() {
            remove(self.cache, &self.spec.name).await?;
        }
        last
    }

    async fn attempt(&self) -> Result<Cluster> {
        let cluster = match existing(self.cache, self.spec)? {
            Some(cluster) if is_whole(&cluster) => {
                self.progress.tell("Mending what has died");
                cluster
            }
            _ => {
                remove(self.cache, &self.spec.name).await?;
                self.make_new().await?
            }
        };
        self.start(&cluster).await?;
        self.progress
            .tell(format_args!("Cluster {} is up", cluster.name()));
        Ok(cluster)
    }

    /// Everything but processes.
    async fn make_new(&self) -> Result<Cluster> {
        let record = Record::make(self.cache, &self.spec.name, self.spec.nodes).await?;
        let cluster = Cluster::new(self.cache, &self.spec.name, record);
        network_of(&cluster)
            .make()
            .await
            .context("Making the network")?;
        let nodes: Vec<_> = cluster
            .nodes()
            .iter()
            .map(|node| node.name().to_owned())
            .collect();
        let certificates = cluster.certificates();
        certificates.make(self.spec.name.as_str(), cluster.plan(), &nodes)?;
        for node in cluster.nodes() {
            config::write(node, cluster.plan(), &certificates)?;
            node.start(&self.programs.pause).await?;
        }
        // Comes last: by it the next run knows that nothing was left out.
        cluster.write_kubeconfig()?;
        self.progress
            .tell("Network, certificates and nodes are made");
        Ok(cluster)
    }

    async fn start(&self, cluster: &Cluster) -> Result<()> {
        use Component::*;

        tokio::try_join!(
            async {
                self.start_control_plane(cluster, &[Etcd, ApiServer])
                    .await?;
                self.wait_for_api_server(cluster).await?;
                self.create_first_objects(cluster).await
            },
            self.start_containers(cluster),
        )?;
        self.start_control_plane(cluster, &[ControllerManager, Scheduler, LoadBalancer])
            .await?;
        for node in cluster.nodes() {
            self.ensure_running(cluster, node, &[Kubelet, KubeProxy])
                .await?;
        }
        self.wait_for_nodes(cluster).await?;
        self.wait_for_dns(cluster).await
    }

    async fn start_control_plane(&self, cluster: &Cluster, which: &[Component]) -> Result<()> {
        match cluster.nodes().first() {
            Some(node) => self.ensure_running(cluster, node, which).await,
            None => Ok(()),
        }
    }

    async fn start_containers(&self, cluster: &Cluster) -> Result<()> {
        for node in cluster.nodes() {
            self.ensure_running(cluster, node, &[Component::Containerd])
                .await?;
        }
        let import = async |archive: &PathBuf| {
            until(STEP, "containerd", async || {
                cluster.import_image(archive).await.map(|()| true)
            })
            .await
        };
        try_join_all([&self.programs.images.pause, &self.programs.images.coredns].map(import))
            .await?;
        self.progress.tell("Containerd runs on every node");
        Ok(())
    }

    async fn ensure_running(
        &self,
        cluster: &Cluster,
        node: &Node,
        components: &[Component],
    ) -> Result<()> {
        let running = node.programs();
        for component in components {
            if component.find_in(&running).is_none() {
                let program = component.detached(cluster, node, &self.programs.kubernetes)?;
                node.start_program(&program).await?;
            }
        }
        Ok(())
    }

    async fn wait_for_api_server(&self, cluster: &Cluster) -> Result<()> {
        let client = cluster.client().await?;
        until(STEP, "the API server", async || {
            health::api_server_is_ready(&client).await
        })
        .await?;
        self.progress.tell("The API server is ready");
        Ok(())
    }

    async fn create_first_objects(&self, cluster: &Cluster) -> Result<()> {
        let objects = config::first_objects(cluster.nodes(), cluster.plan())?;
        let kubectl = self.programs.kubernetes.join("kubectl");
        let mut apply = host(&kubectl.to_string_lossy(), ["--kubeconfig"]);
        apply
            .arg(cluster.kubeconfig())
            .args(["apply", "--server-side", "--force-conflicts"]);
        run_with_input(apply.args(["--filename", "-"]), &objects)
            .await
            .map(drop)
    }

    async fn wait_for_nodes(&self, cluster: &Cluster) -> Result<()> {
        let client = cluster.client().await?;
        let ready = async || Ok(health::ready_nodes(&client).await?.len() == cluster.nodes().len());
        until(STEP, "every node to be ready", ready).await?;
        self.progress.tell("Every node is ready");
        Ok(())
    }

    async fn wait_for_dns(&self, cluster: &Cluster) -> Result<()> {
        let client = cluster.client().await?;
        until(STEP, "the DNS server", async || {
            health::dns_is_ready(&client).await
        })
        .await?;
        self.progress.tell("The DNS server answers");
        Ok(())
    }
}

/// The cluster that is on record, unless it has another number of nodes than is asked for.
fn existing(cache: &Cache, spec: &Spec) -> Result<Option<Cluster>> {
    let Some(record) = Record::read(cache, &spec.name)? else {
        let strangers = network::namespaces(spec.name.as_str())?;
        ensure!(
            strangers.is_empty(),
            "There are network namespaces of an earlier cluster {0} ({1}) but no record of it in \
             this cache; remove them with `cargo xtask cluster down --name {0}` or choose another name",
            spec.name,
            strangers.join(", ")
        );
        return Ok(None);
    };
    let cluster = Cluster::new(cache, &spec.name, record);
    ensure!(
        record.nodes == spec.nodes || !is_whole(&cluster),
        "Cluster {0} has {1} node(s); take it down first: `cargo xtask cluster down --name {0}`",
        spec.name,
        record.nodes
    );
    Ok(Some(cluster))
}

/// Whether there is enough of a cluster to mend it in place.
fn is_whole(cluster: &Cluster) -> bool {
    network_of(cluster).is_complete()
        && cluster
            .nodes()
            .iter()
            .all(|node| node.first_process().is_some())
        && cluster.kubeconfig().exists()
}

fn network_of(cluster: &Cluster) -> Network<'_> {
    Network {
        cluster: cluster.name().as_str(),
        slot: cluster.slot,
        nodes: cluster.nodes(),
    }
}

/// Removes whatever there is of a cluster, with or without a record of it.
async fn remove(cache: &Cache, name: &Name) -> Result<()> {
    let record = Record::read(cache, name).ok().flatten();
    let folder = cache.cluster(name.as_str());
    let mut nodes = network::nodes_with_namespaces(name.as_str())?;
    nodes.extend(
        (1..=record.map_or(0, |record| record.nodes)).map(|number| format!("{name}-node{number}")),
    );
    for node in &nodes {
        node::stop(node).await?;
    }
    network::remove(name.as_str(), record.map(|record| record.slot.plan())).await?;
    until(
        REMOVAL,
        &format!("{} to be removed", folder.display()),
        async || match fs::remove_dir_all(&folder) {
            Err(error) if folder.exists() => Err(error.into()),
            _ => Ok(true),
        },
    )
    .await
}
