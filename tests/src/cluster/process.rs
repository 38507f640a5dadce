//! Finding the processes of a node: by the namespaces they are in, which a process of somebody else
//! never is, whatever its number or name.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Pid;

/// The identity of a namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NamespaceId {
    device: u64,
    inode: u64,
}

impl NamespaceId {
    /// The namespace that `file` stands for, if there is one.
    pub(crate) fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// A live process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its number, as this process sees it.
    pub(crate) pid: Pid,
    /// Its parent's number.
    pub(crate) parent: Pid,
    /// Its program and arguments.
    pub(crate) arguments: Vec<String>,
    /// Its numbers in this and every namespace of processes below.
    numbers: Vec<i32>,
}

impl Process {
    /// Every process that this one sees; those that have ended but are not buried don't count.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?))
            .collect()
    }

    /// The namespace of a kind (`net`, `pid`) that it is in.
    pub(crate) fn namespace(&self, kind: &str) -> Option<NamespaceId> {
        NamespaceId::of(
            &Path::new("/proc")
                .join(self.pid.to_string())
                .join("ns")
                .join(kind),
        )
    }

    /// Whether it is the first process of a namespace of processes right below this process's.
    pub(crate) fn is_first_below(&self) -> bool {
        let depth = Self::read(std::process::id().cast_signed()).map_or(1, |own| own.numbers.len());
        self.numbers.len() == depth + 1 && self.numbers.last() == Some(&1)
    }

    /// The name of its program, without the folder.
    pub(crate) fn program(&self) -> &str {
        self.arguments
            .first()
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default()
    }

    /// A process of these arguments, for tests of what looks for processes.
    #[cfg(test)]
    pub(crate) fn example(arguments: &[String]) -> Self {
        let status = "State:\tS\nPPid:\t1\nNSpid:\t2\n";
        Self::parse(2, status, arguments.join("\0").as_bytes()).unwrap()
    }

    fn read(pid: i32) -> Option<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let arguments = fs::read(folder.join("cmdline")).ok()?;
        Self::parse(pid, &status, &arguments)
    }

    fn parse(pid: i32, status: &str, arguments: &[u8]) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.strip_prefix(':'))
                .map(str::trim)
        };
        if field("State")?.starts_with(['Z', 'X']) {
            return None;
        }
        let arguments = arguments
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy);
        Some(Self {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(field("PPid")?.parse().ok()?),
            arguments: arguments.map(std::borrow::Cow::into_owned).collect(),
            numbers: field("NSpid")?
                .split_whitespace()
                .flat_map(str::parse)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tpause\nState:\tS (sleeping)\nPPid:\t1\nNSpid:\t4711\t1\n";

    #[test]
    fn a_process_is_read_from_its_status() {
        let process = Process::parse(4711, STATUS, b"/usr/bin/pause\0--now\0").unwrap();
        assert_eq!(process.program(), "pause");
        assert_eq!(process.parent, Pid::from_raw(1));
        assert_eq!(process.numbers, [4711, 1]);
    }

    #[test]
    fn one_that_has_ended_is_none() {
        assert!(Process::parse(1, &STATUS.replace("S (sleeping)", "Z (zombie)"), b"").is_none());
    }

    #[test]
    fn this_process_is_among_all() {
        let own = Pid::this();
        let found = Process::all()
            .into_iter()
            .find(|process| process.pid == own)
            .unwrap();
        assert_eq!(
            found.namespace("net"),
            NamespaceId::of(Path::new("/proc/self/ns/net"))
        );
        assert!(!found.is_first_below());
    }
}
