//! What the cluster needs of this machine: root, a few kernel features, and Debian's packages,
//! which are installed when they are missing. All of it is looked at before anything is made.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::command::{host, run};
use super::progress::Progress;

/// How often the installation of packages is tried.
const TRIES: usize = 3;

/// Where Debian puts the network plugins of containers.
pub(crate) const NETWORK_PLUGINS: &str = "/usr/lib/cni";

/// The programs and other files that must be there, each with the package that has it.
const REQUIRED: [(&str, &str); 18] = [
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("buildah", "buildah"),
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("ethtool", "ethtool"),
    ("etcd", "etcd-server"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("runc", "runc"),
    ("setsid", "util-linux"),
    ("sysctl", "procps"),
    ("tcpdump", "tcpdump"),
    ("unshare", "util-linux"),
];

/// Links, a bridge and address translation, tried out in a namespace that ends with the program.
const KERNEL_TRIAL: &str = "
    ip link add trial0 type veth peer name trial1 &&
    ip link add trial2 type bridge &&
    nft 'add table inet trial; add chain inet trial c { type nat hook postrouting priority 100; };
         add rule inet trial c masquerade'";

/// Refuses, before anything is made, what cannot work.
///
/// # Errors
/// One line that says what is missing and how to get it.
pub(crate) fn check_privileges() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "A local cluster makes network namespaces and mounts: run this as root"
    );
    Ok(())
}

/// Refuses kernels without what nodes and pods are made of.
///
/// # Errors
/// One line that says which feature is missing.
pub(crate) async fn check_kernel() -> Result<()> {
    run(&mut host("unshare", ["--net", "sh", "-c", KERNEL_TRIAL]))
        .await
        .context(
            "The kernel must have network namespaces, veth, bridge and nf_tables with masquerading",
        )?;
    ensure!(
        Path::new("/proc/net/if_inet6").exists(),
        "The kernel must have IPv6 switched on"
    );
    let filesystems = std::fs::read_to_string("/proc/filesystems")?;
    if !filesystems.lines().any(|line| line.ends_with("\toverlay")) {
        run(&mut host("modprobe", ["overlay"]))
            .await
            .context("The kernel must have the overlay file system")?;
    }
    ensure!(
        Path::new("/sys/fs/cgroup")
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some()),
        "The control groups must be mounted at /sys/fs/cgroup"
    );
    Ok(())
}

/// Installs what is missing of the packages that a cluster is made of.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) async fn install_packages(progress: &Progress) -> Result<()> {
    for attempt in 1..=TRIES {
        let packages = missing_packages();
        if packages.is_empty() {
            break;
        }
        ensure!(
            find_program("apt-get").is_some(),
            "Missing on this machine: {}; this is not Debian, so install them by hand",
            missing().join(", ")
        );
        progress.tell(format_args!(
            "Installing {} (try {attempt})",
            packages.join(" ")
        ));
        match install(&packages).await {
            Err(error) if attempt == TRIES => return Err(error),
            Err(error) => progress.tell(format_args!("That failed: {error:#}")),
            Ok(()) => {}
        }
    }
    let missing = missing();
    ensure!(
        missing.is_empty(),
        "Still missing after installation: {}",
        missing.join(", ")
    );
    if find_program("go").is_none() {
        bail!("Kubernetes is built from source: install Go 1.25 or newer from https://go.dev/dl/");
    }
    Ok(())
}

/// Where a program is, looked for in `PATH` and where the system's own programs are.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/go/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

async fn install(packages: &[&str]) -> Result<()> {
    let quietly = |arguments: &[&str]| {
        let mut command = host("apt-get", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(&mut quietly(&["-q", "update"])).await?;
    let options = ["-q", "-y", "--no-install-recommends", "install"];
    run(quietly(&options).args(packages)).await.map(drop)
}

fn missing() -> Vec<&'static str> {
    REQUIRED
        .iter()
        .map(|(file, _)| *file)
        .filter(|file| find_program(file).is_none())
        .collect()
}

fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<_> = REQUIRED
        .iter()
        .filter(|(file, _)| find_program(file).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}
