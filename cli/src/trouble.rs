//! Why a pod is not ready, from its own status, in words that lead to what to do.

use std::fmt;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::manifest::Component;

/// What keeps a pod from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No node takes it: taints, room, affinity.
    Unscheduled {
        /// The scheduler's words.
        message: String,
    },
    /// Its image cannot be had.
    Image {
        /// The image.
        image: String,
        /// The kubelet's words.
        message: String,
    },
    /// Its container ends again and again.
    Crashes {
        /// How often it was started again.
        restarts: i32,
        /// Why it ended last.
        reason: String,
    },
    /// Its container does not start for another reason, or only has not yet.
    Starting {
        /// The kubelet's words.
        message: String,
    },
    /// It runs, but says it is not ready.
    NotReady {
        /// Its container.
        container: String,
    },
}

impl Trouble {
    /// What to do about it.
    pub(crate) fn hint(&self, component: Component) -> Option<String> {
        let values = component.values_path();
        match self {
            Self::Unscheduled { message } if message.contains("taint") => {
                Some(format!("allow the taint by --set {values}.tolerations[0].key=KEY,{values}.tolerations[0].operator=Exists"))
            }
            Self::Unscheduled { message } if message.contains("Insufficient") => {
                Some(format!("add a node, or ask for less by --set {values}.resources.requests.cpu=10m"))
            }
            Self::Image { .. } => {
                Some("check global.hub and global.tag, and global.imagePullSecrets for a private registry".to_owned())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unscheduled { message } => write!(formatter, "Pending: {message}"),
            Self::Image { image, message } => {
                write!(formatter, "cannot get image {image}: {message}")
            }
            Self::Crashes { restarts, reason } => {
                write!(
                    formatter,
                    "container ended ({reason}), restarted {restarts} times"
                )
            }
            Self::Starting { message } => write!(formatter, "starting: {message}"),
            Self::NotReady { container } => {
                write!(formatter, "container {container} runs but is not ready")
            }
        }
    }
}

/// What keeps the pod from being ready; `None` if it is ready or about to go.
pub(crate) fn trouble(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let condition = |kind: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind && condition.status == "False")
    };
    if let Some(unscheduled) = condition("PodScheduled") {
        let message = unscheduled
            .message
            .clone()
            .unwrap_or_else(|| "not scheduled".to_owned());
        return Some(Trouble::Unscheduled { message });
    }
    let mut containers = status.container_statuses.iter().flatten();
    if let Some(trouble) = containers.find_map(container_trouble) {
        return Some(trouble);
    }
    (status.phase.as_deref() == Some("Pending")).then(|| Trouble::Starting {
        message: "its node makes it".to_owned(),
    })
}

fn container_trouble(status: &ContainerStatus) -> Option<Trouble> {
    if status.ready {
        return None;
    }
    let state = status.state.clone().unwrap_or_default();
    if let Some(waiting) = state.waiting {
        let reason = waiting.reason.unwrap_or_default();
        let message = waiting.message.unwrap_or_else(|| reason.clone());
        return Some(match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                Trouble::Image {
                    image: status.image.clone(),
                    message,
                }
            }
            "CrashLoopBackOff" => crash(status),
            _ => Trouble::Starting { message },
        });
    }
    if state.terminated.is_some() {
        return Some(crash(status));
    }
    Some(Trouble::NotReady {
        container: status.name.clone(),
    })
}

fn crash(status: &ContainerStatus) -> Trouble {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.clone())
    };
    let reason = ended(&status.state)
        .or_else(|| ended(&status.last_state))
        .map_or_else(
            || "for an unknown reason".to_owned(),
            |ended| {
                format!(
                    "{}, exit code {}",
                    ended.reason.as_deref().unwrap_or("Error"),
                    ended.exit_code
                )
            },
        );
    Trouble::Crashes {
        restarts: status.restart_count,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: &serde_json::Value) -> Option<String> {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "x"}, "status": status})).unwrap();
        trouble(&pod).map(|trouble| {
            let hint = trouble
                .hint(Component::Control)
                .map(|hint| format!(" | {hint}"));
            format!("{trouble}{}", hint.unwrap_or_default())
        })
    }

    fn container(state: &serde_json::Value) -> serde_json::Value {
        json!({"phase": "Running", "containerStatuses": [{
            "name": "discovery", "image": "lateen/pilot:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": state,
            "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}
        }]})
    }

    #[test]
    fn every_trouble_is_told_with_its_reason() {
        insta::assert_debug_snapshot!([
            told(
                &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "message": "0/1 nodes are available: 1 node(s) had untolerated taint {a: b}."}]})
            ),
            told(
                &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "message": "0/1 nodes are available: 1 Insufficient cpu."}]})
            ),
            told(&container(
                &json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})
            )),
            told(&container(
                &json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}})
            )),
            told(&container(
                &json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
            )),
            told(&container(
                &json!({"waiting": {"reason": "CreateContainerConfigError", "message": "no such secret"}})
            )),
            told(&container(&json!({"running": {}}))),
            told(&json!({"phase": "Pending"})),
        ]);
    }

    #[test]
    fn pods_that_are_ready_or_leave_have_none() {
        assert_eq!(
            told(&json!({"phase": "Running", "containerStatuses": [
            {"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0}]})),
            None
        );
        let leaving: Pod = serde_json::from_value(json!({
            "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": container(&json!({"running": {}}))
        }))
        .unwrap();
        assert_eq!(trouble(&leaving), None);
    }
}
