//! The programs that are built from Go modules: Kubernetes itself, CoreDNS, helm, fortio, and the
//! first process of a sandbox. Their `go.mod` and `go.sum` are in `go/` beside this file, so that
//! everybody builds the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::command::{host, run};
use super::progress::Progress;

/// How often a build is tried, since it may have to download.
const TRIES: usize = 3;

/// The files of a module under `go/`, by name.
macro_rules! sources {
    ($module:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("go/", $module, "/", $file)))),+]
    };
}

/// Programs from one Go module, built together.
#[derive(Debug)]
pub struct Tool {
    /// What people call it.
    pub(crate) name: &'static str,
    /// The version that `go.mod` asks for, part of the cache's key.
    pub(crate) version: &'static str,
    sources: &'static [(&'static str, &'static str)],
    packages: &'static [&'static str],
    linker_flags: &'static str,
}

/// The servers and clients of Kubernetes.
pub const KUBERNETES: Tool = Tool {
    name: "kubernetes",
    version: "1.34.4",
    sources: sources!("kubernetes": "go.mod", "go.sum", "tools.go"),
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-proxy",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubectl",
        "k8s.io/kubernetes/cmd/kubelet",
    ],
    // Otherwise the server says that it is of version 0.0.0.
    linker_flags: "-X k8s.io/component-base/version.gitVersion=v1.34.4 \
                   -X k8s.io/component-base/version.gitMajor=1 \
                   -X k8s.io/component-base/version.gitMinor=34",
};

/// The cluster's DNS server.
pub(crate) const COREDNS: Tool = Tool {
    name: "coredns",
    version: "1.14.7",
    sources: sources!("coredns": "go.mod", "go.sum", "main.go"),
    packages: &["."],
    linker_flags: "",
};

/// The first process of sandboxes and nodes.
pub(crate) const PAUSE: Tool = Tool {
    name: "pause",
    version: "1",
    sources: sources!("pause": "go.mod", "main.go"),
    packages: &["."],
    linker_flags: "",
};

/// What renders and installs charts in tests.
pub const HELM: Tool = Tool {
    name: "helm",
    version: "3.21.4",
    sources: sources!("helm": "go.mod", "go.sum", "tools.go"),
    packages: &["helm.sh/helm/v3/cmd/helm"],
    linker_flags: "-X helm.sh/helm/v3/internal/version.version=v3.21.4",
};

/// A load generator and echo server.
pub const FORTIO: Tool = Tool {
    name: "fortio",
    version: "1.66.5",
    sources: sources!("fortio": "go.mod", "go.sum", "tools.go"),
    packages: &["fortio.org/fortio"],
    linker_flags: "",
};

impl Tool {
    /// The folder with the programs, built on first use and linked from [`Cache::programs`].
    ///
    /// # Errors
    /// When the build fails three times.
    pub async fn get(&self, cache: &Cache, progress: &Progress) -> Result<PathBuf> {
        let folder = cache
            .get_or_make("tools", &self.key(), async |folder| {
                for attempt in 1..TRIES {
                    progress.tell(format_args!("Building {} (try {attempt})", self.title()));
                    match self.build(&folder).await {
                        Ok(()) => return Ok(()),
                        Err(error) => progress.tell(format_args!("That failed: {error:#}")),
                    }
                }
                progress.tell(format_args!("Building {} (last try)", self.title()));
                self.build(&folder).await
            })
            .await?;
        for program in fs::read_dir(&folder)? {
            cache.link_program(&program?.path())?;
        }
        Ok(folder)
    }

    /// The name in the cache: version and a digest of everything that makes a difference.
    pub(crate) fn key(&self) -> String {
        let mut digest = Sha256::new();
        for (file, content) in self.sources {
            digest.update(file);
            digest.update(content);
        }
        self.packages
            .iter()
            .for_each(|package| digest.update(package));
        digest.update(self.linker_flags);
        let digest: String = digest
            .finalize()
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{}-{}-{digest}", self.name, self.version)
    }

    fn title(&self) -> String {
        format!("{} {} from source", self.name, self.version)
    }

    async fn build(&self, folder: &Path) -> Result<()> {
        let sources = tempfile::tempdir().context("Making a folder for sources")?;
        for (file, content) in self.sources {
            fs::write(sources.path().join(file), content)?;
        }
        fs::create_dir_all(folder)?;
        let mut build = host(
            "go",
            ["build", "-mod=readonly", "-buildvcs=false", "-trimpath"],
        );
        build
            .arg(format!("-ldflags=-s -w {}", self.linker_flags))
            .args(["-o".as_ref(), folder.as_os_str()])
            .args(self.packages)
            .current_dir(sources.path())
            .env("CGO_ENABLED", "0")
            .env_remove("GOFLAGS");
        run(&mut build)
            .await
            .map(drop)
            .with_context(|| format!("Building {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Tool; 5] = [KUBERNETES, COREDNS, PAUSE, HELM, FORTIO];

    fn module_file(tool: &Tool) -> &'static str {
        tool.sources
            .iter()
            .find(|(name, _)| *name == "go.mod")
            .unwrap()
            .1
    }

    #[test]
    fn modules_ask_for_the_versions_that_the_cache_is_keyed_by() {
        for tool in ALL.iter().filter(|tool| tool.name != "pause") {
            let required = format!(" v{}", tool.version);
            let line = module_file(tool)
                .lines()
                .find(|line| line.starts_with("require "));
            assert!(
                line.unwrap().ends_with(&required),
                "{}: {line:?}",
                tool.name
            );
        }
    }

    #[test]
    fn staging_modules_of_kubernetes_follow_its_version() {
        let replaced: Vec<_> = module_file(&KUBERNETES)
            .lines()
            .filter(|line| line.starts_with("replace "))
            .collect();
        assert_eq!(replaced.len(), 29);
        assert!(replaced.iter().all(|line| line.ends_with(" v0.34.4")));
        assert!(KUBERNETES.linker_flags.contains(KUBERNETES.version));
    }

    #[test]
    fn keys_differ_and_are_stable() {
        let keys: std::collections::BTreeSet<_> = ALL.iter().map(Tool::key).collect();
        assert_eq!(keys.len(), ALL.len());
        assert_eq!(KUBERNETES.key(), KUBERNETES.key());
    }
}
