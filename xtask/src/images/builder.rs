//! The tool that builds: buildah, which needs no service, or docker.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// A tool that builds images from Dockerfiles.
#[derive(Debug)]
pub(crate) enum Builder {
    /// Keeps what it builds in the folder `storage`.
    Buildah {
        /// A folder of ours, so that nothing stays behind.
        storage: PathBuf,
    },
    /// Keeps what it builds in its engine.
    Docker,
}

impl Builder {
    /// The tool that this machine has. Installs buildah where there is none and that is possible.
    ///
    /// # Errors
    /// When there is neither.
    pub(crate) fn find(storage: &Path) -> Result<Self> {
        let buildah = || shell::succeeds(Command::new("buildah").arg("--version"));
        if buildah() {
            return Ok(Self::Buildah {
                storage: storage.to_path_buf(),
            });
        }
        if shell::succeeds(Command::new("docker").arg("info")) {
            return Ok(Self::Docker);
        }
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--quiet", "buildah"]);
        if shell::succeeds(install.env("DEBIAN_FRONTEND", "noninteractive")) && buildah() {
            return Ok(Self::Buildah {
                storage: storage.to_path_buf(),
            });
        }
        bail!("Building images needs buildah, or docker with a running engine: install one of them")
    }

    /// Builds `name` from `dockerfile` (its stage `stage`), which copies from `context`.
    ///
    /// # Errors
    /// When the tool fails; the error has its words.
    pub(crate) fn build(
        &self,
        name: &str,
        dockerfile: &Path,
        stage: &str,
        context: &Path,
    ) -> Result<()> {
        let mut command = match self {
            Self::Buildah { storage } => {
                let mut buildah = buildah(storage);
                // No time of day in the image, so that equal contents have equal layers.
                buildah.args(["bud", "--isolation", "chroot", "--timestamp", "0"]);
                buildah
            }
            Self::Docker => docker("build"),
        };
        command.args(["--target", stage]);
        command
            .args(["--tag", name, "--file"])
            .arg(dockerfile)
            .arg(context);
        shell::read(&mut command)?;
        Ok(())
    }

    /// Writes the image `name` to `file` as a docker archive.
    ///
    /// # Errors
    /// When the tool fails.
    pub(crate) fn save(&self, name: &str, file: &Path) -> Result<()> {
        shell::read(&mut match self {
            Self::Buildah { storage } => {
                let mut buildah = buildah(storage);
                buildah.args(["push", name, &format!("docker-archive:{}", file.display())]);
                buildah
            }
            Self::Docker => {
                let mut docker = docker("save");
                docker.arg("--output").arg(file).arg(name);
                docker
            }
        })?;
        Ok(())
    }

    /// Sends the image `name` to a registry as `destination`.
    ///
    /// # Errors
    /// When the tool fails, most often because the registry wants a login first.
    pub(crate) fn push(&self, name: &str, destination: &str) -> Result<()> {
        match self {
            Self::Buildah { storage } => {
                let mut buildah = buildah(storage);
                buildah.arg("push");
                if is_on_this_machine(destination) {
                    buildah.arg("--tls-verify=false");
                }
                shell::read(buildah.args([name, destination]))?;
            }
            Self::Docker => {
                shell::read(docker("tag").args([name, destination]))?;
                shell::read(docker("push").arg(destination))?;
            }
        }
        Ok(())
    }
}

/// Whether a registry is one of this machine, as the `docker` program sees it: those speak plain HTTP.
fn is_on_this_machine(destination: &str) -> bool {
    let registry = destination.split('/').next().unwrap_or_default();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}

fn buildah(storage: &Path) -> Command {
    let mut buildah = Command::new("buildah");
    // vfs works on every file system and without mounts.
    buildah.args(["--storage-driver", "vfs"]);
    buildah
        .arg("--root")
        .arg(storage.join("root"))
        .arg("--runroot")
        .arg(storage.join("run"));
    buildah
}

fn docker(action: &str) -> Command {
    let mut docker = Command::new("docker");
    docker.arg(action);
    docker
}

#[cfg(test)]
mod tests {
    use super::is_on_this_machine;

    #[test]
    fn only_registries_of_this_machine_are_spoken_to_in_plain_text() {
        for destination in ["localhost:5000/a/b:1", "127.0.0.1:5000/a", "[::1]:5000/a:1"] {
            assert!(is_on_this_machine(destination), "{destination}");
        }
        for destination in [
            "registry.example/a:1",
            "localhost.example:5000/a",
            "10.0.0.1:5000/a",
        ] {
            assert!(!is_on_this_machine(destination), "{destination}");
        }
    }
}
