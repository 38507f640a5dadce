//! Objects from files: YAML with any number of documents, or JSON. Kinds that no analyzer looks at are
//! passed over.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::{Resource as Kind, ResourceExt};
use lateen_webhook::documents;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::resource::Resource;
use super::world::World;

/// What files of a folder end in.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// The content of a file.
#[derive(Clone, Debug)]
pub(super) struct Text {
    name: String,
    content: String,
}

/// Reads files, and of folders those that are YAML or JSON by their names; `-` is standard input.
///
/// # Errors
/// A file cannot be read.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut content = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut content);
            read.context("cannot read standard input")?;
            let name = "-".to_owned();
            texts.push(Text { name, content });
        } else if path.is_dir() {
            let folder = read_folder(path, &mut texts);
            folder.with_context(|| format!("cannot read {}", path.display()))?;
        } else {
            texts.push(read_file(path)?);
        }
    }
    Ok(texts)
}

fn read_file(path: &Path) -> Result<Text> {
    let name = path.display().to_string();
    let content = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Ok(Text { name, content })
}

fn read_folder(folder: &Path, texts: &mut Vec<Text>) -> Result<()> {
    let entries = std::fs::read_dir(folder)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !path.is_dir() {
            if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
                texts.push(read_file(&path)?);
            }
        } else if !path.is_symlink() {
            // A link to a folder may lead back to where it is.
            read_folder(&path, texts)?;
        }
    }
    Ok(())
}

/// Adds the objects of a text to the world. What cannot be read is answered as sentences.
pub(super) fn add(world: &mut World, text: &Text, namespace: &str) -> Vec<String> {
    let mut unreadable = Vec::new();
    for document in documents::split(&text.content) {
        let reference = format!("{}:{}", text.name, document.line());
        let added = document.parse().and_then(|object| {
            let added = place(world, object, &reference, namespace);
            added.map_err(|error| error.to_string())
        });
        unreadable.extend(
            added
                .err()
                .map(|why| format!("cannot read {reference}: {why}")),
        );
    }
    unreadable
}

/// Adds an object, and those of a list.
pub(super) fn place(
    world: &mut World,
    mut object: Value,
    reference: &str,
    namespace: &str,
) -> serde_json::Result<()> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let reference = || Some(reference.to_owned());
    match (text("apiVersion"), text("kind")) {
        ("v1", "List") => {
            let items = object.get_mut("items").and_then(Value::as_array_mut);
            for item in items.map(std::mem::take).unwrap_or_default() {
                place(world, item, &reference().unwrap_or_default(), namespace)?;
            }
        }
        ("v1", "Namespace") => world
            .namespaces
            .add(Resource::new(serde_json::from_value(object)?, reference())),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => world
            .webhooks
            .add(Resource::new(serde_json::from_value(object)?, reference())),
        ("v1", "Pod") => world.pods.add(within(namespace, object, reference())?),
        ("apps/v1", "Deployment") => world
            .deployments
            .add(within(namespace, object, reference())?),
        ("v1", "Service") => world.services.add(within(namespace, object, reference())?),
        ("v1", "ConfigMap") => world
            .config_maps
            .add(within(namespace, object, reference())?),
        _ => {}
    }
    Ok(())
}

/// An object that is in a namespace, this one if it names none.
fn within<K>(
    namespace: &str,
    object: Value,
    reference: Option<String>,
) -> serde_json::Result<Resource<K>>
where
    K: Kind<DynamicType = ()> + DeserializeOwned,
{
    let mut object: K = serde_json::from_value(object)?;
    if object.namespace().is_none() {
        object.meta_mut().namespace = Some(namespace.to_owned());
    }
    Ok(Resource::new(object, reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFESTS: &str = "# A shop.
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: web}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
---
{apiVersion: v1, kind: Pod, metadata: 3}
---
a: [
";

    #[test]
    fn objects_are_found_and_the_rest_is_told() {
        let mut world = World::new("istio-system");
        let text = Text {
            name: "a.yaml".to_owned(),
            content: MANIFESTS.to_owned(),
        };
        let unreadable = add(&mut world, &text, "default");
        assert_eq!(unreadable.len(), 2, "{unreadable:?}");
        assert!(unreadable[0].starts_with("cannot read a.yaml:16: "));
        assert!(unreadable[1].starts_with("cannot read a.yaml:18: "));
        assert_eq!(world.namespaces.iter().count(), 1);
        assert_eq!(world.pods.iter().count(), 2);
        let pod = world.pods.get("default", "web").unwrap();
        assert_eq!(pod.origin.reference.as_deref(), Some("a.yaml:6"));
    }

    #[test]
    fn folders_are_entered() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink(folder.path(), inner.join("back")).unwrap();
        for name in ["b.yaml", "a.json", "inner/c.yml", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let texts = read(&[folder.path().to_owned()]).unwrap();
        let names = texts.iter().map(|text| {
            let path = Path::new(&text.name);
            path.strip_prefix(folder.path()).unwrap().to_str().unwrap()
        });
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["a.json", "b.yaml", "inner/c.yml"]
        );
        let named = read(&[folder.path().join("notes.txt")]).unwrap();
        assert_eq!(
            named.len(),
            1,
            "what is named is read, whatever its name is"
        );
        assert!(read(&[folder.path().join("none.yaml")]).is_err());
    }
}
