//! iptables without a distribution round it: Debian's programs, the shared objects that they need
//! and the extensions that they load.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::batch;
use crate::workspace::Workspace;
use crate::{output, shell};

/// Debian's packages.
const PACKAGES: [&str; 9] = [
    "iptables",
    "libc6",
    "libip4tc2",
    "libip6tc2",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libxtables12",
];

/// The two programs that answer to all names, one for each interface of the kernel.
const PROGRAMS: [&str; 2] = ["xtables-nft-multi", "xtables-legacy-multi"];

/// Where Debian keeps shared objects, and where the image has them too.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// What the programs and extensions are linked with.
const SHARED_OBJECTS: [&str; 9] = [
    "libc.so.6",
    "libip4tc.so.2",
    "libip6tc.so.2",
    "libm.so.6",
    "libmnl.so.0",
    "libnetfilter_conntrack.so.3",
    "libnfnetlink.so.0",
    "libnftnl.so.11",
    "libxtables.so.12",
];

/// The loader, at the path that is written into every dynamic program.
const LOADER: &str = "ld-linux-x86-64.so.2";

/// How often the package servers are asked.
const TRIES: u32 = 3;

/// The folder with iptables, made ready in the cache unless this version is there already.
///
/// # Errors
/// When the packages cannot be had, or do not hold what they should.
pub(crate) fn folder(workspace: &Workspace) -> Result<PathBuf> {
    let parent = workspace.cache.join("iptables");
    let key = format!("{}{}", addresses()?, include_str!("iptables.rs"));
    let folder = parent.join(batch::short_hash(key.as_bytes()));
    if folder.exists() {
        return Ok(folder);
    }
    output::step("Downloading iptables");
    fs::create_dir_all(&parent).with_context(|| format!("Making {}", parent.display()))?;
    let scratch = tempfile::tempdir_in(&parent)?;
    let (packages, unpacked, image) = (
        scratch.path().join("packages"),
        scratch.path().join("unpacked"),
        scratch.path().join("image"),
    );
    download(&packages)?;
    for package in fs::read_dir(&packages)? {
        shell::read(
            Command::new("dpkg")
                .arg("-x")
                .arg(package?.path())
                .arg(&unpacked),
        )?;
    }
    assemble(&unpacked, &image).context("Taking iptables from Debian's packages")?;
    // Whoever is first wins: what a second run made is the same.
    if let Err(error) = fs::rename(&image, &folder)
        && !folder.exists()
    {
        return Err(error).with_context(|| format!("Keeping {}", folder.display()));
    }
    Ok(folder)
}

/// The addresses of the packages: they name the versions and their hashes.
fn addresses() -> Result<String> {
    let ask = || shell::read(apt_get().args(["--print-uris", "download"]).args(PACKAGES));
    ask().or_else(|_| {
        update()?;
        ask()
    })
}

fn download(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let ask = || shell::read(apt_get().arg("download").args(PACKAGES).current_dir(folder));
    // The lists may be older than what the servers have.
    ask().or_else(|_| {
        update()?;
        ask()
    })?;
    Ok(())
}

fn update() -> Result<()> {
    let mut attempt = 1;
    loop {
        output::step(&format!(
            "Updating the lists of packages (try {attempt} of {TRIES})"
        ));
        match shell::read(apt_get().arg("update")) {
            Ok(_) => return Ok(()),
            Err(error) if attempt == TRIES => return Err(error),
            Err(error) => output::line(&format!("{error:#}")),
        }
        attempt += 1;
    }
}

fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    // The user that apt would become cannot write into our folders.
    apt_get.args(["--quiet", "--option", "APT::Sandbox::User=root"]);
    apt_get
}

/// Copies from the unpacked packages what the image needs and nothing else.
fn assemble(unpacked: &Path, image: &Path) -> Result<()> {
    let programs = image.join("usr/sbin");
    fs::create_dir_all(&programs)?;
    for program in PROGRAMS {
        copy(
            &unpacked.join("usr/sbin").join(program),
            &programs.join(program),
        )?;
    }
    for (name, target) in names() {
        symlink(target, programs.join(name))?;
    }
    let libraries = image.join(LIBRARIES);
    fs::create_dir_all(libraries.join("xtables"))?;
    for object in SHARED_OBJECTS {
        copy(&find(unpacked, object), &libraries.join(object))?;
    }
    for extension in fs::read_dir(unpacked.join(LIBRARIES).join("xtables"))? {
        let extension = extension?;
        copy(
            &extension.path(),
            &libraries.join("xtables").join(extension.file_name()),
        )?;
    }
    // Where the legacy programs keep their lock.
    fs::create_dir_all(image.join("run"))?;
    fs::create_dir_all(image.join("lib64"))?;
    copy(&find(unpacked, LOADER), &image.join("lib64").join(LOADER))
}

/// The names of the commands and the programs they lead to. Those that name no interface lead to
/// nf_tables, as on every current distribution.
fn names() -> impl Iterator<Item = (String, &'static str)> {
    let [nft, legacy] = PROGRAMS;
    let interfaces = [("", nft), ("-nft", nft), ("-legacy", legacy)];
    ["iptables", "ip6tables"]
        .into_iter()
        .flat_map(move |family| {
            interfaces
                .into_iter()
                .flat_map(move |(interface, program)| {
                    ["", "-save", "-restore"]
                        .map(|action| (format!("{family}{interface}{action}"), program))
                })
        })
}

/// Debian moved `/lib` below `/usr`; packages of either layout will do.
fn find(unpacked: &Path, object: &str) -> PathBuf {
    let old = unpacked.join("lib/x86_64-linux-gnu").join(object);
    if old.exists() {
        old
    } else {
        unpacked.join(LIBRARIES).join(object)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("Copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn every_command_has_a_plain_an_nft_and_a_legacy_name() {
        let names: Vec<_> = names().collect();
        assert_eq!(names.len(), 18);
        for (name, program) in [
            ("iptables-restore", "xtables-nft-multi"),
            ("ip6tables-nft-save", "xtables-nft-multi"),
            ("iptables-legacy-restore", "xtables-legacy-multi"),
        ] {
            assert!(
                names.contains(&(name.to_owned(), program)),
                "{name} is missing"
            );
        }
    }
}
