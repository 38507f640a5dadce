//! Snapshots from texts, as `kubectl get -o yaml` prints them: for asking without a cluster.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::object::{
    NamespaceObject, NodeObject, Object, PodObject, ServiceObject, ServiceRangeObject, SliceObject,
};
use super::{Facts, Snapshot};
use crate::Error;

impl Snapshot {
    /// Adds the objects of a YAML text, which may hold several documents and lists. Objects of
    /// kinds that answers do not need are passed over.
    ///
    /// # Errors
    /// When the text is not YAML, or an object is not what its kind says.
    pub fn read_manifests(&mut self, yaml: &str) -> Result<Facts, Error> {
        let documents: Vec<Option<Value>> = serde_saphyr::from_multiple(yaml)
            .map_err(|error| Error::Manifest(error.to_string()))?;
        let mut changed = Facts::new();
        for document in documents.into_iter().flatten() {
            self.read_object(document, &mut changed)?;
        }
        Ok(changed)
    }

    fn read_object(&mut self, object: Value, changed: &mut Facts) -> Result<(), Error> {
        let kind = object
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match kind {
            "Service" => self.store::<ServiceObject>(object, changed),
            "EndpointSlice" => self.store::<SliceObject>(object, changed),
            "Pod" => self.store::<PodObject>(object, changed),
            "Node" => self.store::<NodeObject>(object, changed),
            "Namespace" => self.store::<NamespaceObject>(object, changed),
            "ServiceCIDR" => self.store::<ServiceRangeObject>(object, changed),
            "List" => {
                let list: List = parse(object)?;
                list.items
                    .into_iter()
                    .try_for_each(|item| self.read_object(item, changed))
            }
            _ => Ok(()),
        }
    }

    fn store<K: Object>(&mut self, object: Value, changed: &mut Facts) -> Result<(), Error> {
        parse::<K>(object)?.store(self, changed);
        Ok(())
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

fn parse<T: DeserializeOwned>(object: Value) -> Result<T, Error> {
    let name = format!(
        "{} {}",
        object
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or("object"),
        object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or("without a name"),
    );
    serde_json::from_value(object).map_err(|error| Error::Manifest(format!("{name}: {error}")))
}
