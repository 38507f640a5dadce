//! The control groups of a node: one subtree with the node's name in every hierarchy, of version 1
//! or 2, in which its processes and pods are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The group of the node's own processes, below the node's.
const SYSTEM: &str = "system";

/// Makes the groups of `node` and returns the files through which a process joins them.
///
/// # Errors
/// When a group cannot be made.
pub(crate) fn make(node: &str) -> Result<Vec<PathBuf>> {
    let mut joined = Vec::new();
    for hierarchy in hierarchies()? {
        hand_down_controllers(&hierarchy);
        let group = make_group(&hierarchy, node)?;
        joined.push(make_group(&group, SYSTEM)?.join("cgroup.procs"));
    }
    Ok(joined)
}

/// Removes the groups of `node`, whose processes have ended.
///
/// # Errors
/// When a group is still in use.
pub(crate) fn remove(node: &str) -> Result<()> {
    hierarchies()?
        .iter()
        .map(|hierarchy| hierarchy.join(node))
        .try_for_each(|group| {
            remove_tree(&group).with_context(|| format!("Removing {}", group.display()))
        })
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("Reading the mounts")?;
    Ok(hierarchies_in(&mounts))
}

fn hierarchies_in(mounts: &str) -> Vec<PathBuf> {
    let mut hierarchies: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (target, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup" || kind == "cgroup2").then(|| target.into())
        })
        .collect();
    hierarchies.sort();
    hierarchies.dedup();
    hierarchies
}

/// Version 2: lets the groups below use every controller that there is. A hierarchy of version 1,
/// or one whose owner has decided otherwise, is left as it is: kubelet says what it misses.
fn hand_down_controllers(hierarchy: &Path) {
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        fs::write(
            hierarchy.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .ok();
    }
}

fn make_group(parent: &Path, name: &str) -> Result<PathBuf> {
    let group = parent.join(name);
    fs::create_dir_all(&group).with_context(|| format!("Making {}", group.display()))?;
    // Version 1: nobody may join a group that has no processors and memory yet.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let inherited = fs::read_to_string(parent.join(file)).unwrap_or_default();
        if !inherited.trim().is_empty() {
            fs::write(group.join(file), inherited)
                .with_context(|| format!("Filling {} of {}", file, group.display()))?;
        }
    }
    Ok(group)
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    let Ok(entries) = group.read_dir() else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let mounts = "sysfs /sys sysfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      tmpfs /sys/fs/cgroup tmpfs rw 0 0\n";
        let found = hierarchies_in(mounts);
        assert_eq!(
            found,
            ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from)
        );
    }
}
