//! Programs of Debian without a distribution round them: what they are linked with is read from
//! them, and taken from the packages that they depend on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::batch;
use crate::workspace::Workspace;
use crate::{output, shell};

/// Where Debian keeps shared objects, and where the image has them too.
pub(super) const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The loader, and its folder: the path is written into every dynamic program.
const LOADER: &str = "ld-linux-x86-64.so.2";
const LOADER_FOLDER: &str = "lib64";

/// How often the package servers are asked.
const TRIES: u32 = 3;

/// What an image takes from Debian.
#[derive(Debug)]
pub(crate) struct Selection {
    /// What it is called: in the cache, on the terminal and in Dockerfiles.
    pub(crate) name: &'static str,
    /// The packages with the programs. Those that they depend on are added.
    pub(super) packages: &'static [&'static str],
    /// The programs.
    pub(super) programs: &'static [Program],
    /// Folders of shared objects that the programs load while they run.
    pub(super) extensions: &'static [&'static str],
    /// Empty folders that the programs want.
    pub(super) folders: &'static [&'static str],
}

/// A program of an image.
#[derive(Debug)]
pub(super) struct Program {
    /// Where it is, from the root.
    pub(super) path: &'static str,
    /// Links to it in the same folder.
    pub(super) names: &'static [&'static str],
}

/// The folder with a selection, made ready in the cache unless these versions are there already.
///
/// # Errors
/// When the packages cannot be had, or do not hold what they should.
pub(crate) fn folder(workspace: &Workspace, selection: &Selection) -> Result<PathBuf> {
    let parent = workspace.cache.join(selection.name);
    let packages = Packages::needed_by(selection.packages)?;
    let recipe = include_str!("debian.rs");
    let key = format!("{}{selection:?}{recipe}", packages.addresses);
    let folder = parent.join(batch::short_hash(key.as_bytes()));
    if folder.exists() {
        return Ok(folder);
    }
    output::step(&format!("Downloading {}", selection.name));
    fs::create_dir_all(&parent).with_context(|| format!("Making {}", parent.display()))?;
    let scratch = tempfile::tempdir_in(&parent)?;
    let (unpacked, image) = (
        scratch.path().join("unpacked"),
        scratch.path().join("image"),
    );
    packages.unpack(&scratch.path().join("packages"), &unpacked)?;
    assemble(selection, &unpacked, &image)
        .with_context(|| format!("Taking {} from Debian's packages", selection.name))?;
    // Whoever is first wins: what a second run made is the same.
    if let Err(error) = fs::rename(&image, &folder)
        && !folder.exists()
    {
        return Err(error).with_context(|| format!("Keeping {}", folder.display()));
    }
    Ok(folder)
}

/// Packages, as the package servers have them.
struct Packages {
    names: Vec<String>,
    /// Where they are: this names their versions and hashes.
    addresses: String,
}

impl Packages {
    /// Packages with all that they depend on.
    fn needed_by(packages: &[&str]) -> Result<Self> {
        let look_up = || {
            let names = dependencies(packages)?;
            let mut print = apt("apt-get");
            print.args(["--print-uris", "download"]).args(&names);
            let addresses = shell::read(&mut print)?;
            Ok(Self { names, addresses })
        };
        look_up().or_else(|_: anyhow::Error| {
            update()?;
            look_up()
        })
    }

    /// Downloads the packages to `folder` and puts what is in them below `unpacked`.
    fn unpack(&self, folder: &Path, unpacked: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut download = apt("apt-get");
        download.arg("download").args(&self.names);
        download.current_dir(folder);
        // The lists may be older than what the servers have.
        shell::read(&mut download).or_else(|_| {
            update()?;
            shell::read(&mut download)
        })?;
        for package in fs::read_dir(folder)? {
            let mut unpack = Command::new("dpkg");
            unpack.arg("-x").arg(package?.path()).arg(unpacked);
            shell::read(&mut unpack)?;
        }
        Ok(())
    }
}

/// The names of packages and of all that they depend on.
fn dependencies(packages: &[&str]) -> Result<Vec<String>> {
    let mut depends = apt("apt-cache");
    depends.args(["depends", "--recurse", "--important", "--no-pre-depends"]);
    let tree = shell::read(depends.args(packages))?;
    Ok(packages_of(&tree))
}

/// A package stands at the beginning of its line, above the relations that it has. Virtual packages
/// are in angle brackets.
fn packages_of(tree: &str) -> Vec<String> {
    tree.lines()
        .filter(|line| line.starts_with(char::is_alphanumeric))
        .map(str::to_owned)
        .collect()
}

fn update() -> Result<()> {
    let mut attempt = 1;
    loop {
        output::step(&format!(
            "Updating the lists of packages (try {attempt} of {TRIES})"
        ));
        match shell::read(apt("apt-get").arg("update")) {
            Ok(_) => return Ok(()),
            Err(error) if attempt == TRIES => return Err(error),
            Err(error) => output::line(&format!("{error:#}")),
        }
        attempt += 1;
    }
}

fn apt(program: &str) -> Command {
    let mut apt = Command::new(program);
    // The user that apt would become cannot write into our folders.
    apt.args(["--quiet", "--option", "APT::Sandbox::User=root"]);
    apt
}

/// Copies from the unpacked packages what the image needs and nothing else.
fn assemble(selection: &Selection, unpacked: &Path, image: &Path) -> Result<()> {
    let mut files = Vec::new();
    for program in selection.programs {
        let file = image.join(program.path);
        copy(&find(unpacked, program.path), &file)?;
        for name in program.names {
            symlink(
                file.file_name().unwrap_or_default(),
                file.with_file_name(name),
            )?;
        }
        files.push(file);
    }
    for extensions in selection.extensions {
        for extension in fs::read_dir(find(unpacked, extensions))? {
            let extension = extension?;
            let file = image.join(extensions).join(extension.file_name());
            copy(&extension.path(), &file)?;
            files.push(file);
        }
    }
    for folder in selection.folders {
        fs::create_dir_all(image.join(folder))?;
    }
    add_shared_objects(unpacked, image, files)
}

/// Copies everything that `files` are linked with, and what that is linked with.
fn add_shared_objects(unpacked: &Path, image: &Path, mut files: Vec<PathBuf>) -> Result<()> {
    let mut copied = BTreeSet::new();
    while let Some(file) = files.pop() {
        let mut readelf = Command::new("readelf");
        readelf.args(["--dynamic", "--wide"]).arg(&file);
        let dynamic = shell::read(readelf.env("LC_ALL", "C"))?;
        for object in linked_with(&dynamic) {
            if copied.insert(object.to_owned()) {
                let folder = if object == LOADER {
                    LOADER_FOLDER
                } else {
                    LIBRARIES
                };
                let to = image.join(folder).join(object);
                copy(&find(unpacked, &format!("{LIBRARIES}/{object}")), &to)
                    .with_context(|| format!("{} is linked with {object}", file.display()))?;
                files.push(to);
            }
        }
    }
    Ok(())
}

/// The shared objects that `readelf --dynamic` names, which are none for a static program.
fn linked_with(dynamic: &str) -> impl Iterator<Item = &str> {
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    needed.filter_map(|line| line.split_once('[')?.1.strip_suffix(']'))
}

/// Debian moved `/bin`, `/sbin` and `/lib` below `/usr`; packages of either layout will do.
fn find(unpacked: &Path, path: &str) -> PathBuf {
    let new = Path::new("usr").join(path);
    let old = path.strip_prefix("usr/").unwrap_or(path);
    let places = [Path::new(path), &new, Path::new(old)].map(|place| unpacked.join(place));
    let found = places.iter().find(|place| place.exists());
    found.unwrap_or(&places[0]).clone()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let made = to.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::copy(from, to))
        .with_context(|| format!("Copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_from_their_relations() {
        let tree = "\
curl
  Depends: libc6
 |Depends: <debconf-2.0>
    debconf
<debconf-2.0>
libc6
  Depends: libgcc-s1
";
        assert_eq!(packages_of(tree), ["curl", "libc6"]);
    }

    #[test]
    fn shared_objects_are_read_from_programs() {
        let dynamic = "
Dynamic section at offset 0x3c9d8 contains 28 entries:
  Tag        Type                         Name/Value
 0x0000000000000001 (NEEDED)             Shared library: [libcurl.so.4]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000e (SONAME)             Library soname: [libself.so.1]
 0x000000000000000c (INIT)               0x4000
";
        let linked: Vec<_> = linked_with(dynamic).collect();
        assert_eq!(linked, ["libcurl.so.4", "libc.so.6"]);
        let static_program = "\nThere is no dynamic section in this file.\n";
        assert_eq!(linked_with(static_program).count(), 0);
    }

    #[test]
    fn both_of_debians_layouts_will_do() -> Result<()> {
        let unpacked = tempfile::tempdir()?;
        for path in ["lib/old.so", "usr/lib/new.so", "usr/bin/moved"] {
            let file = unpacked.path().join(path);
            fs::create_dir_all(file.parent().context("Finding the folder")?)?;
            fs::write(file, "")?;
        }
        for (asked, path) in [
            ("usr/lib/old.so", "lib/old.so"),
            ("usr/lib/new.so", "usr/lib/new.so"),
            ("bin/moved", "usr/bin/moved"),
            ("bin/nowhere", "bin/nowhere"),
        ] {
            assert_eq!(find(unpacked.path(), asked), unpacked.path().join(path));
        }
        Ok(())
    }
}
