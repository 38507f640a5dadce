//! What an analyzer tells of a cluster that is made up.

use serde_json::{Value, json};

use super::super::files;
use super::super::report::{Filter, Report};
use super::super::world::World;
use crate::manifest::Manifest;
use crate::values::{Sources, Values};

/// What an analyzer tells of a cluster with these objects and no others.
pub(super) fn told(analyze: fn(&World, &mut Report), objects: &[Value]) -> Vec<String> {
    told_of(analyze, objects, true)
}

/// What an analyzer tells of these objects, which are not all that there are.
pub(super) fn told_of_some(analyze: fn(&World, &mut Report), objects: &[Value]) -> Vec<String> {
    told_of(analyze, objects, false)
}

fn told_of(analyze: fn(&World, &mut Report), objects: &[Value], are_all: bool) -> Vec<String> {
    let mut world = World::new("istio-system");
    for object in objects {
        files::place(&mut world, object.clone(), "", "default").unwrap();
    }
    world.services.is_complete = are_all;
    world.webhooks.is_complete = are_all;
    let mut report = Report::new(Filter::default());
    analyze(&world, &mut report);
    let messages = report.finish();
    messages.iter().map(ToString::to_string).collect()
}

/// The codes and the origins of messages: `IST0103 Pod shop/web`.
pub(super) fn heads(told: &[String]) -> Vec<String> {
    let head = |message: &String| {
        let (code, rest) = message.split_once("] (").unwrap();
        let (origin, _) = rest.split_once(" )").unwrap();
        format!("{} {origin}", code.split_once('[').unwrap().1)
    };
    told.iter().map(head).collect()
}

/// All objects of an installation that injection goes by, with these values besides.
pub(super) fn installed(revision: &str, assignments: &[&str]) -> Vec<Value> {
    let sources = Sources {
        revision: Some(revision.to_owned()),
        assignments: assignments.iter().map(ToString::to_string).collect(),
        ..Sources::default()
    };
    let manifest = Manifest::build(&Values::load(&sources).unwrap()).unwrap();
    let objects = manifest.objects();
    objects.map(|object| object.to_json().unwrap()).collect()
}

pub(super) fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A pod `NAMESPACE/NAME`.
pub(super) fn pod(place: &str, metadata: &Value, spec: &Value) -> Value {
    let (namespace, name) = place.split_once('/').unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"containers": []}});
    pod["metadata"]["namespace"] = json!(namespace);
    pod["metadata"]["name"] = json!(name);
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// A Deployment `NAMESPACE/NAME` of such pods.
pub(super) fn deployment(place: &str, metadata: &Value, spec: &Value) -> Value {
    let (namespace, name) = place.split_once('/').unwrap();
    let mut template = pod(place, metadata, spec);
    template.as_object_mut().unwrap().remove("kind");
    template.as_object_mut().unwrap().remove("apiVersion");
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": {}, "template": template}})
}
