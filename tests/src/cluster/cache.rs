//! What is kept between runs, outside the repository: built programs, images, and the running
//! clusters themselves.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::lock::Lock;

/// Folders that a node of the cluster hides behind its own.
const HIDDEN_ON_NODES: [&str; 3] = ["/run", "/var/lib", "/var/log"];

/// The cache folder: `$LATEEN_CACHE`, or `lateen` in `$XDG_CACHE_HOME` or in `~/.cache`.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the folder from the environment; it need not exist yet.
    ///
    /// # Errors
    /// When no variable tells, or the folder lies where the nodes of a cluster could not see it.
    pub fn locate() -> Result<Self> {
        Self::from_lookup(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_lookup(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let under = |name: &str, below: &str| Some(PathBuf::from(variable(name)?).join(below));
        let Some(root) = variable("LATEEN_CACHE")
            .map(PathBuf::from)
            .or_else(|| under("XDG_CACHE_HOME", "lateen"))
            .or_else(|| under("HOME", ".cache/lateen"))
        else {
            bail!("No cache folder: set LATEEN_CACHE, XDG_CACHE_HOME or HOME");
        };
        ensure!(
            root.is_absolute(),
            "The cache folder {} is not absolute",
            root.display()
        );
        if let Some(hidden) = HIDDEN_ON_NODES
            .iter()
            .find(|hidden| root.starts_with(hidden))
        {
            bail!(
                "The cache folder {} lies in {hidden}, which nodes of a cluster have of their own; \
                 set LATEEN_CACHE to another place",
                root.display()
            );
        }
        Ok(Self { root })
    }

    /// Links to the newest programs, for people's `PATH`.
    pub fn programs(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Where a cluster keeps its state while it runs.
    pub(crate) fn cluster(&self, name: &str) -> PathBuf {
        self.clusters().join(name)
    }

    /// Where the lock files are.
    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The folder of all clusters' state.
    pub(crate) fn clusters(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Returns `kind/name` of the cache, made by `make` first if it is not there yet.
    ///
    /// `make` gets another path to write to; it is renamed once all is well, so that an
    /// interruption leaves nothing half-made under the final name.
    ///
    /// # Errors
    /// When `make` fails or the cache cannot be written.
    pub(crate) async fn get_or_make<F>(
        &self,
        kind: &str,
        name: &str,
        make: impl FnOnce(PathBuf) -> F,
    ) -> Result<PathBuf>
    where
        F: Future<Output = Result<()>>,
    {
        let folder = self.root.join(kind);
        let wanted = folder.join(name);
        if wanted.exists() {
            return Ok(wanted);
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("Making the cache folder {}", folder.display()))?;
        // Alone with it, so that whatever is unfinished is somebody's who did not finish.
        let _alone = Lock::take(self, name)?;
        if wanted.exists() {
            return Ok(wanted);
        }
        let unfinished = folder.join(format!(".unfinished-{name}"));
        remove(&unfinished)?;
        let made = make(unfinished.clone()).await;
        if let Err(error) = made {
            remove(&unfinished)?;
            return Err(error);
        }
        fs::rename(&unfinished, &wanted)
            .with_context(|| format!("Writing {}", wanted.display()))?;
        Ok(wanted)
    }

    /// Makes `bin/NAME` a link to `program`.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn link_program(&self, program: &Path) -> Result<()> {
        let name = program.file_name().context("A program has a name")?;
        let link = self.programs().join(name);
        if fs::read_link(&link).is_ok_and(|target| target == program) {
            return Ok(());
        }
        fs::create_dir_all(self.programs())?;
        // Under a name of its own first: other clusters may be made at this moment.
        let unfinished = tempfile::Builder::new()
            .prefix(".unfinished-")
            .make_in(self.programs(), |path| {
                std::os::unix::fs::symlink(program, path)
            });
        let unfinished = unfinished.with_context(|| format!("Linking {}", link.display()))?;
        unfinished
            .into_temp_path()
            .persist(&link)
            .with_context(|| format!("Linking {}", link.display()))
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("Removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(variables: &[(&str, &str)]) -> Result<Cache> {
        Cache::from_lookup(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_most_specific_variable_wins() {
        let all = [
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
            ("LATEEN_CACHE", "/l"),
        ];
        assert_eq!(located(&all).unwrap().root, Path::new("/l"));
        assert_eq!(located(&all[..2]).unwrap().root, Path::new("/x/lateen"));
        assert_eq!(
            located(&all[..1]).unwrap().root,
            Path::new("/h/.cache/lateen")
        );
        assert!(located(&[]).is_err());
    }

    #[test]
    fn a_folder_that_nodes_cannot_see_is_refused() {
        let error = located(&[("LATEEN_CACHE", "/var/lib/lateen")]).unwrap_err();
        assert!(error.to_string().contains("/var/lib"), "{error}");
    }

    #[tokio::test]
    async fn what_failed_halfway_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: folder.path().to_owned(),
        };
        let half = cache.get_or_make("things", "one", async |path| {
            fs::write(path, "half")?;
            bail!("interrupted")
        });
        assert!(half.await.is_err());
        let whole = cache.get_or_make("things", "one", async |path| Ok(fs::write(path, "whole")?));
        assert_eq!(fs::read_to_string(whole.await.unwrap()).unwrap(), "whole");
        let again = cache.get_or_make("things", "one", async |_| bail!("not made twice"));
        assert!(again.await.is_ok());
        assert_eq!(
            fs::read_dir(folder.path().join("things")).unwrap().count(),
            1
        );
    }

    #[test]
    fn clusters_that_are_made_at_the_same_time_link_the_same_programs() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: folder.path().to_owned(),
        };
        let programs = [1, 2].map(|version| folder.path().join(format!("{version}/program")));
        std::thread::scope(|scope| {
            for program in programs.iter().cycle().take(8) {
                let cache = &cache;
                scope.spawn(move || {
                    for _ in 0..100 {
                        cache.link_program(program).unwrap();
                    }
                });
            }
        });
        let links: Vec<_> = fs::read_dir(cache.programs()).unwrap().flatten().collect();
        assert_eq!(links.len(), 1);
        assert!(programs.contains(&fs::read_link(links[0].path()).unwrap()));
    }
}
