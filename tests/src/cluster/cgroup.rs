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
    let hierarchies = hierarchies()?;
    let made = hierarchies.iter().map(|hierarchy| make_in(hierarchy, node));
    made.collect()
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

fn make_in(hierarchy: &Path, node: &str) -> Result<PathBuf> {
    hand_down_controllers(hierarchy);
    let group = make_group(hierarchy, node)?;
    Ok(make_group(&group, SYSTEM)?.join("cgroup.procs"))
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

    #[test]
    fn version_2_alone_is_found() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0\n";
        assert_eq!(hierarchies_in(mounts), [PathBuf::from("/sys/fs/cgroup")]);
    }

    /// A folder with files as they are at the root of a hierarchy.
    fn hierarchy(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn groups_of_version_1_have_processors_before_anybody_joins() {
        let root = hierarchy(&[("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")]);
        let join = make_in(root.path(), "node1").unwrap();
        assert_eq!(join, root.path().join("node1/system/cgroup.procs"));
        for group in ["node1", "node1/system"] {
            let read = |file| fs::read_to_string(root.path().join(group).join(file)).unwrap();
            assert_eq!(
                (read("cpuset.cpus"), read("cpuset.mems")),
                ("0-1\n".into(), "0\n".into())
            );
        }
        assert!(!root.path().join("cgroup.subtree_control").exists());
    }

    #[test]
    fn groups_of_version_2_get_every_controller() {
        // The kernel adds up what is written; of a file the last is left.
        let root = hierarchy(&[("cgroup.controllers", "cpuset cpu memory pids\n")]);
        let join = make_in(root.path(), "node1").unwrap();
        assert_eq!(join, root.path().join("node1/system/cgroup.procs"));
        let handed_down = fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(handed_down, "+pids");
        // The processes of a node are in no group that has others below it, which version 2 refuses.
        assert!(!root.path().join("node1/cgroup.procs").exists());
    }

    #[test]
    fn what_is_removed_is_gone_with_everything_below_it() {
        let root = hierarchy(&[]);
        make_in(root.path(), "node1").unwrap();
        fs::create_dir_all(root.path().join("node1/kubepods/burstable/pod1")).unwrap();
        remove_tree(&root.path().join("node1")).unwrap();
        remove_tree(&root.path().join("node1")).unwrap();
        assert_eq!(root.path().read_dir().unwrap().count(), 0);
    }
}
