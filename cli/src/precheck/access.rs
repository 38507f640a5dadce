//! Whether the user may apply every object of an installation, and remove it again.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::finding::Finding;
use crate::manifest::Manifest;

/// Name of the check.
pub(super) const CHECK: &str = "access";

/// What installing and uninstalling do with each object.
const VERBS: [&str; 4] = ["get", "create", "patch", "delete"];

/// A right: what may be done with which kind, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    group: String,
    resource: String,
    namespace: Option<String>,
    verb: &'static str,
}

/// Asks the API server about every right that is needed.
pub(super) async fn look(client: &Client, manifest: &Manifest) -> Result<Vec<Finding>> {
    let rights = needed(manifest);
    let mut denied = Vec::new();
    for right in &rights {
        if !is_allowed(client, right).await? {
            denied.push(right);
        }
    }
    if denied.is_empty() {
        let told = format!(
            "all {} rights that an installation needs are there",
            rights.len()
        );
        return Ok(vec![Finding::info(CHECK, told)]);
    }
    Ok(told(&denied))
}

/// The rights for the objects of an installation. Roles can be given only by who has what they give,
/// or may escalate.
fn needed(manifest: &Manifest) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for object in manifest.objects() {
        for verb in VERBS {
            rights.insert(Right {
                group: object.resource.group.clone(),
                resource: object.resource.plural.clone(),
                namespace: object.namespace().map(str::to_owned),
                verb,
            });
        }
    }
    rights.insert(Right {
        group: String::new(),
        resource: "namespaces".to_owned(),
        namespace: None,
        verb: "create",
    });
    rights
}

async fn is_allowed(client: &Client, right: &Right) -> Result<bool> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.clone()),
                resource: Some(right.resource.clone()),
                namespace: right.namespace.clone(),
                verb: Some(right.verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = api
        .create(&PostParams::default(), &review)
        .await
        .context("cannot ask for one's own rights")?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// One finding for each kind, with all verbs that are missing.
fn told(denied: &[&Right]) -> Vec<Finding> {
    let kind = |right: &Right| {
        let group = if right.group.is_empty() {
            String::new()
        } else {
            format!(".{}", right.group)
        };
        let place = right.namespace.as_ref().map_or_else(
            || " in the cluster".to_owned(),
            |name| format!(" in namespace {name}"),
        );
        format!("{}{group}{place}", right.resource)
    };
    let kinds: BTreeSet<String> = denied.iter().map(|right| kind(right)).collect();
    let verbs = |wanted: &str| -> Vec<&str> {
        let of_kind = denied.iter().filter(|right| kind(right) == wanted);
        of_kind.map(|right| right.verb).collect()
    };
    kinds
        .iter()
        .map(|kind| {
            Finding::error(
                CHECK,
                format!("you may not {} {kind}", verbs(kind).join(", ")),
            )
            .remedy("install as somebody with the role cluster-admin")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Sources, Values};

    #[test]
    fn every_kind_of_an_installation_is_asked_about() {
        let manifest = Manifest::build(&Values::load(&Sources::default()).unwrap()).unwrap();
        let rights = needed(&manifest);
        for object in manifest.objects() {
            let is_asked = rights
                .iter()
                .any(|right| right.resource == object.resource.plural && right.verb == "patch");
            assert!(is_asked, "{}", object.title());
        }
        let wide = rights.iter().filter(|right| right.namespace.is_none());
        assert!(wide.clone().any(|right| right.resource == "clusterroles"));
        assert!(wide.clone().all(|right| right.resource != "services"));
    }

    #[test]
    fn missing_rights_are_told_kind_by_kind() {
        let right = |resource: &str, namespace: Option<&str>, verb| Right {
            group: "apps".to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            verb,
        };
        let denied = [
            right("deployments", Some("mesh"), "create"),
            right("deployments", Some("mesh"), "patch"),
            right("others", None, "get"),
        ];
        let found = told(&denied.iter().collect::<Vec<_>>());
        let messages: Vec<&str> = found
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(
            messages,
            [
                "you may not create, patch deployments.apps in namespace mesh",
                "you may not get others.apps in the cluster",
            ]
        );
    }
}
