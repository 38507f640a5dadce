//! Server-side apply of one object, and what it changed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use anyhow::{Context, Result, anyhow};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client, Error};

use super::conflict::{Conflict, without};
use crate::console::Console;
use crate::manifest::Object;

/// Name by which the API server knows which fields are ours.
pub(super) const MANAGER: &str = "lateenctl";

/// What applying an object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did not exist.
    Created,
    /// It was different.
    Configured,
    /// It was as it should be.
    Unchanged,
}

impl Outcome {
    pub(super) fn count(self) -> Tally {
        let mut tally = Tally::default();
        match self {
            Self::Created => tally.created = 1,
            Self::Configured => tally.configured = 1,
            Self::Unchanged => tally.unchanged = 1,
        }
        tally
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        })
    }
}

/// How many objects were created, configured and unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    created: u32,
    configured: u32,
    unchanged: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.configured += other.configured;
        self.unchanged += other.unchanged;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.created, "created"),
            (self.configured, "configured"),
            (self.unchanged, "unchanged"),
        ];
        let told: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, outcome)| format!("{count} {outcome}"))
            .collect();
        formatter.write_str(&if told.is_empty() {
            "nothing to do".to_owned()
        } else {
            told.join(", ")
        })
    }
}

/// Applies objects.
pub(crate) struct Applier {
    client: Client,
    console: Console,
    dry_run: bool,
    force: bool,
}

impl Applier {
    pub(crate) fn new(client: Client, console: Console, dry_run: bool, force: bool) -> Self {
        Self {
            client,
            console,
            dry_run,
            force,
        }
    }

    /// Applies an object. Fields that somebody else changed since stay as they are, with a warning,
    /// unless the user forces ours.
    pub(crate) async fn apply(&self, object: &Object) -> Result<Outcome> {
        let api = self.api(object);
        let failed = || format!("cannot apply {}", object.title());
        let before = api.get_opt(object.name()).await.with_context(failed)?;
        let after = match self.patch(&api, &object.content, self.force).await {
            Err(Error::Api(status)) if status.is_conflict() => self
                .settle(&api, object, &status)
                .await
                .with_context(failed)?,
            // A dry run cannot put objects into a namespace that it did not create.
            Err(Error::Api(status)) if self.dry_run && status.is_not_found() => {
                return Ok(Outcome::Created);
            }
            result => result.with_context(failed)?,
        };
        Ok(match before {
            None => Outcome::Created,
            Some(before) if differs(&before, &after) => Outcome::Configured,
            Some(_) => Outcome::Unchanged,
        })
    }

    /// Applies what nobody else holds.
    async fn settle(
        &self,
        api: &Api<DynamicObject>,
        object: &Object,
        status: &Status,
    ) -> Result<DynamicObject> {
        let conflicts = Conflict::all(status);
        let mut content = object.content.clone();
        let mut kept: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for conflict in conflicts
            .iter()
            .filter(|conflict| !conflict.is_with_installer())
        {
            content = without(&content, &conflict.field)
                .ok_or_else(|| anyhow!("{conflict}; --force overwrites it"))?;
            kept.entry(&conflict.manager)
                .or_default()
                .push(&conflict.field);
        }
        for (manager, fields) in kept {
            self.console.warning(&format!(
                "{}: kept {} as {manager} changed it; --force overwrites it",
                object.title(),
                fields.join(", ")
            ));
        }
        Ok(self.patch(api, &content, true).await?)
    }

    async fn patch(
        &self,
        api: &Api<DynamicObject>,
        content: &DynamicObject,
        force: bool,
    ) -> kube::Result<DynamicObject> {
        let parameters = PatchParams {
            dry_run: self.dry_run,
            force,
            field_manager: Some(MANAGER.to_owned()),
            field_validation: None,
        };
        let name = content.metadata.name.as_deref().unwrap_or_default();
        api.patch(name, &parameters, &Patch::Apply(content)).await
    }

    fn api(&self, object: &Object) -> Api<DynamicObject> {
        match object.namespace() {
            Some(namespace) => {
                Api::namespaced_with(self.client.clone(), namespace, &object.resource)
            }
            None => Api::all_with(self.client.clone(), &object.resource),
        }
    }
}

/// Whether two states of an object are different in what people write. `resourceVersion` does not
/// tell: a dry run does not count it up, and a status that is written meanwhile does.
fn differs(before: &DynamicObject, after: &DynamicObject) -> bool {
    let content = |object: &DynamicObject| {
        let mut content = object.data.clone();
        if let Some(fields) = content.as_object_mut() {
            fields.remove("status");
        }
        content
    };
    content(before) != content(after)
        || before.metadata.labels != after.metadata.labels
        || before.metadata.annotations != after.metadata.annotations
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_what_people_write_is_a_difference() {
        let object = |version: &str, replicas: u8, ready: u8| -> DynamicObject {
            let object: Value = json!({ "metadata": { "name": "a", "resourceVersion": version },
                "spec": { "replicas": replicas }, "status": { "readyReplicas": ready } });
            serde_json::from_value(object).unwrap()
        };
        assert!(!differs(&object("1", 2, 1), &object("2", 2, 2)));
        assert!(differs(&object("1", 2, 2), &object("1", 3, 2)));
    }

    #[test]
    fn tallies_add_up_and_tell_only_what_happened() {
        let mut tally = Outcome::Created.count();
        tally += Outcome::Created.count();
        tally += Outcome::Unchanged.count();
        assert_eq!(tally.to_string(), "2 created, 1 unchanged");
        assert_eq!(Tally::default().to_string(), "nothing to do");
    }
}
