//! What the cluster, and other tests, need of this machine: root, a few kernel features, and Debian's
//! packages, which are installed when they are missing. All of it is looked at before anything is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::command::{host, run};
use super::progress::Progress;

/// How often the installation of packages is tried.
const TRIES: usize = 3;

/// Where Debian puts the network plugins of containers.
pub(crate) const NETWORK_PLUGINS: &str = "/usr/lib/cni";

/// Programs and other files that must be there, each with the package that has it.
type Required = [(&'static str, &'static str)];

/// What a cluster is made of.
const OF_CLUSTERS: &Required = &[
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

/// What redirection is tried out with, in network namespaces without a cluster.
const OF_REDIRECTION: &Required = &[
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
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
pub(crate) async fn prepare_for_cluster(progress: &Progress) -> Result<()> {
    install_missing(OF_CLUSTERS, progress).await?;
    if find_program("go").is_none() {
        bail!("Kubernetes is built from source: install Go 1.25 or newer from https://go.dev/dl/");
    }
    Ok(())
}

/// Installs what is missing of the packages that redirection is tested with.
///
/// # Errors
/// When something is missing and cannot be installed.
pub async fn prepare_for_redirection() -> Result<()> {
    install_missing(OF_REDIRECTION, &Progress::begin()).await
}

async fn install_missing(required: &Required, progress: &Progress) -> Result<()> {
    for attempt in 1..=TRIES {
        let packages = packages(&missing(required));
        if packages.is_empty() {
            break;
        }
        ensure!(
            find_program("apt-get").is_some(),
            "Missing on this machine: {}; this is not Debian, so install them by hand",
            files(&missing(required)).join(", ")
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
    let missing = missing(required);
    ensure!(
        missing.is_empty(),
        "Still missing after installation: {}",
        files(&missing).join(", ")
    );
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

fn missing(required: &Required) -> Vec<(&'static str, &'static str)> {
    let required = required.iter().copied();
    required
        .filter(|(file, _)| find_program(file).is_none())
        .collect()
}

fn files(of: &Required) -> Vec<&'static str> {
    of.iter().map(|(file, _)| *file).collect()
}

/// The packages to install, each once.
fn packages(of: &Required) -> Vec<&'static str> {
    let packages: BTreeSet<_> = of.iter().map(|(_, package)| *package).collect();
    packages.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_installed_once_by_the_package_that_has_it() {
        let required = [
            ("no-such-program", "some-package"),
            ("sh", "dash"),
            ("/no/such/file", "other-package"),
            ("no-such-program-either", "some-package"),
        ];
        let missing = missing(&required);
        assert_eq!(
            files(&missing),
            ["no-such-program", "/no/such/file", "no-such-program-either"]
        );
        assert_eq!(packages(&missing), ["other-package", "some-package"]);
    }

    #[test]
    fn redirection_is_tested_with_no_other_programs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../init/tests/namespaces");
        let mut found = 0;
        for entry in folder.read_dir().unwrap() {
            let Ok(text) = std::fs::read_to_string(entry.unwrap().path()) else {
                continue; // The folder of the harness.
            };
            for call in ["Command::new(\"", "which(\""] {
                for part in text.split(call).skip(1) {
                    let program = part.split('"').next().unwrap();
                    assert!(files(OF_REDIRECTION).contains(&program), "{program}");
                    found += 1;
                }
            }
        }
        assert!(found > 5, "only {found} calls were found");
    }
}
