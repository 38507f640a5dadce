//! Containers of the application are told to stop only when their callers have left.
//!
//! The kubelet tells the containers of a pod to stop at the moment at which everybody else hears that
//! the pod ends. An application that stops at once then loses the requests that it has in hand, and
//! nobody may send those again. So a container that has no hook of its own before its end gets one:
//! the agent answers it when no request is in hand and none comes any more, after five seconds at the
//! latest. Containers with a hook of their own keep it alone.
//!
//! Native sidecars only: a classic one is told to stop together with the application, which needs it
//! to the end. And only where the time that a pod has for its end leaves room.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use lateen_wire::names;

/// Seconds that a pod must have for its end: twice what the agent takes at the longest.
const LEAST_GRACE_PERIOD: i64 = 10;

/// Gives the hook to the containers of the application. Init containers need none: native sidecars
/// stop after them.
pub(crate) fn hold(spec: &mut PodSpec, status_port: u16) {
    let grace_period = spec.termination_grace_period_seconds;
    if grace_period.is_some_and(|seconds| seconds < LEAST_GRACE_PERIOD) {
        return;
    }
    let application = |container: &&mut Container| container.name != names::PROXY_CONTAINER;
    for container in spec.containers.iter_mut().filter(application) {
        let lifecycle = container.lifecycle.get_or_insert_default();
        lifecycle.pre_stop.get_or_insert_with(|| LifecycleHandler {
            http_get: Some(HTTPGetAction {
                path: Some(names::CALLERS_LEFT.to_owned()),
                port: IntOrString::Int(status_port.into()),
                ..HTTPGetAction::default()
            }),
            ..LifecycleHandler::default()
        });
    }
}

/// Undoes [`hold`].
pub(crate) fn release(spec: &mut PodSpec) {
    for container in &mut spec.containers {
        let Some(lifecycle) = &mut container.lifecycle else {
            continue;
        };
        if lifecycle.pre_stop.as_ref().is_some_and(asks_agent) {
            lifecycle.pre_stop = None;
            if *lifecycle == Default::default() {
                container.lifecycle = None;
            }
        }
    }
}

fn asks_agent(hook: &LifecycleHandler) -> bool {
    let path = hook.http_get.as_ref().and_then(|get| get.path.as_deref());
    path == Some(names::CALLERS_LEFT)
}
