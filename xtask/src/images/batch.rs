//! Images that are built, named and kept together.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lateen_tests::cluster::{Cache, FORTIO, Progress};
use sha2::{Digest as _, Sha256};

use super::archive;
use super::builder::Builder;
use super::catalogue::{Content, Image};
use super::programs::Programs;
use super::{LOCAL_HUB, debian};
use crate::blocking::wait_for;
use crate::output;
use crate::workspace::Workspace;

/// Archives of earlier contents that stay in the cache, to go back and forth between branches.
const KEPT_ARCHIVES: usize = 4;

/// A set of images with everything that their Dockerfiles copy.
#[derive(Debug)]
pub(crate) struct Batch {
    staged: Vec<Staged>,
    fingerprint: String,
}

#[derive(Debug)]
struct Staged {
    image: Image,
    dockerfile: PathBuf,
    context: PathBuf,
    bytes: u64,
}

impl Batch {
    /// Puts the contents of `images` below `folder` and takes their fingerprint.
    ///
    /// # Errors
    /// When something that belongs into an image is not there.
    pub(crate) fn stage(
        workspace: &Workspace,
        programs: &Programs,
        images: Vec<Image>,
        folder: &Path,
    ) -> Result<Self> {
        let mut hash = Sha256::new();
        let mut staged = Vec::new();
        for image in images {
            let dockerfile = workspace.root.join(image.dockerfile());
            let context = folder.join(image.folder);
            if !context.exists() {
                fill(workspace, programs, image.contents, &context)
                    .with_context(|| format!("Collecting the contents of {}", image.name))?;
            }
            hash.update(format!("{}\0{}\0", image.name, image.aliases.join(" ")));
            add_to_hash(&mut hash, &dockerfile)?;
            let bytes = add_to_hash(&mut hash, &context)?;
            staged.push(Staged {
                image,
                dockerfile,
                context,
                bytes,
            });
        }
        Ok(Self {
            staged,
            fingerprint: shorten(hash),
        })
    }

    /// Twelve hex digits that change when any image's contents or recipe do.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Bytes in each image.
    pub(crate) fn sizes(&self) -> Vec<(&'static str, u64)> {
        self.staged
            .iter()
            .map(|staged| (staged.image.name, staged.bytes))
            .collect()
    }

    /// Builds the images and sends them to `hub` with `tag`.
    ///
    /// # Errors
    /// When an image does not build or the registry refuses it.
    pub(crate) fn push(&self, builder: &Builder, hub: &str, tag: &str) -> Result<()> {
        for staged in &self.staged {
            let destination = format!("{hub}/{}:{tag}", staged.image.name);
            output::step(&format!("Pushing {destination}"));
            builder.push(&staged.build(builder)?, &destination)?;
        }
        Ok(())
    }

    /// One archive in the cache with all images, built unless it is there already. The images
    /// carry `tag` and the names they stand in for.
    ///
    /// # Errors
    /// When an image does not build, or the archive cannot be written.
    pub(crate) fn archive(
        &self,
        workspace: &Workspace,
        group: &str,
        tag: &str,
        storage: &Path,
    ) -> Result<PathBuf> {
        let folder = workspace.cache.join("images").join(group);
        let file = folder.join(format!("{tag}-{}.tar", self.fingerprint));
        if file.exists() {
            return Ok(file);
        }
        fs::create_dir_all(&folder).with_context(|| format!("Making {}", folder.display()))?;
        let builder = Builder::find(storage)?;
        let scratch = tempfile::tempdir_in(&folder)?;
        let mut merged = archive::Merge::new(scratch.path())?;
        for staged in &self.staged {
            let Image { name, aliases, .. } = &staged.image;
            output::step(&format!("Building image {LOCAL_HUB}/{name}:{tag}"));
            let part = scratch.path().join("part.tar");
            builder.save(&staged.build(&builder)?, &part)?;
            let mut names = aliases.clone();
            names.push(format!("{LOCAL_HUB}/{name}:{tag}"));
            merged.add(&part, &names)?;
            fs::remove_file(&part)?;
        }
        merged.write(&file)?;
        forget_old(&folder)?;
        Ok(file)
    }
}

impl Staged {
    /// Builds the image and returns the name that the builder knows it by.
    fn build(&self, builder: &Builder) -> Result<String> {
        let Image { name, .. } = self.image;
        let local = format!("{LOCAL_HUB}/{name}:build");
        builder.build(&local, &self.dockerfile, name, &self.context)?;
        Ok(local)
    }
}

/// Twelve hex digits of the SHA-256 of `bytes`.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(bytes);
    shorten(hash)
}

fn shorten(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn fill(
    workspace: &Workspace,
    programs: &Programs,
    contents: &[Content],
    context: &Path,
) -> Result<()> {
    fs::create_dir_all(context)?;
    for content in contents {
        match content {
            Content::Program(name) => link(&programs.path(name), &context.join(name))?,
            Content::Fortio => link(&fortio()?, &context.join("fortio"))?,
            Content::Debian(selection) => {
                let folder = debian::folder(workspace, selection)?;
                copy_folder(&folder, &context.join(selection.name))?;
            }
        }
    }
    Ok(())
}

/// The load generator, built like the programs of the local cluster.
fn fortio() -> Result<PathBuf> {
    let folder = wait_for(FORTIO.get(&Cache::locate()?, &Progress::begin()))?;
    Ok(folder.join("fortio"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, destination) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&path, &destination)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, destination)?;
        } else {
            link(&path, &destination)?;
        }
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<()> {
    let linked = fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ()));
    linked.with_context(|| format!("Copying {} to {}", from.display(), to.display()))
}

/// Adds the names, modes and contents of everything below `path`; returns the bytes of all files.
fn add_to_hash(hash: &mut Sha256, path: &Path) -> Result<u64> {
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("Looking for {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    hash.update(name);
    hash.update(metadata.permissions().mode().to_be_bytes());
    if metadata.is_symlink() {
        hash.update(fs::read_link(path)?.as_os_str().as_encoded_bytes());
        return Ok(0);
    }
    if metadata.is_file() {
        hash.update(metadata.len().to_be_bytes());
        hash.update(fs::read(path)?);
        return Ok(metadata.len());
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().map(|entry| add_to_hash(hash, entry)).sum()
}

/// Removes all archives but the newest few.
fn forget_old(folder: &Path) -> Result<()> {
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "tar")
        {
            archives.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    archives.sort();
    let surplus = archives.len().saturating_sub(KEPT_ARCHIVES);
    for (_, archive) in archives.iter().take(surplus) {
        fs::remove_file(archive)?;
    }
    Ok(())
}
