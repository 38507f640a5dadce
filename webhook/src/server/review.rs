//! AdmissionReview, `admission.k8s.io/v1` and `v1beta1`: the question of the API server and our
//! answer (Kubernetes, "Dynamic Admission Control").

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::patch::Patch;

use super::received::Received;

const KIND: &str = "AdmissionReview";
const API_VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];
/// What an answer takes beside its patch, warnings apart, in bytes.
const ROOM: usize = 256;

/// A request that is no admission review. The message is the answer's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request body is no AdmissionReview of admission.k8s.io/v1: {0}")]
pub struct NoReview(String);

/// What the API server asks. The object's type is `O`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<O> {
    api_version: String,
    kind: String,
    request: Request<O>,
}

#[derive(Debug, Deserialize)]
struct Request<O> {
    uid: String,
    #[serde(default)]
    kind: GroupVersionKind,
    #[serde(default)]
    namespace: String,
    object: O,
}

#[derive(Debug, Default, Deserialize)]
struct GroupVersionKind {
    #[serde(default)]
    group: String,
    #[serde(default)]
    kind: String,
}

/// A review, read as far as an injector needs.
#[derive(Debug)]
pub struct Question {
    reply: Reply,
    /// Namespace that the object is created in.
    pub namespace: String,
    /// The object.
    pub object: Object,
}

/// The object under review.
#[derive(Debug)]
pub enum Object {
    /// Something that is not a pod.
    Other,
    /// A pod.
    Pod(Box<Pod>),
    /// Something that should be a pod and cannot be read as one.
    UnreadablePod(String),
}

/// What of a question must come back with its answer.
#[derive(Debug)]
struct Reply {
    api_version: String,
    uid: String,
}

impl Question {
    /// Reads a review.
    ///
    /// # Errors
    /// When the bytes are no review. An object that cannot be read is no error here.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoReview> {
        match serde_json::from_slice::<Review<Received>>(bytes) {
            Ok(review) if is_pod(&review.request.kind) => {
                let Review {
                    api_version,
                    kind,
                    request,
                } = review;
                let Received(pod) = request.object;
                let object = Object::Pod(Box::new(pod));
                Self::new(api_version, &kind, request.uid, request.namespace, object)
            }
            Ok(_) => Self::parse_other(bytes, String::new()),
            Err(error) => Self::parse_other(bytes, error.to_string()),
        }
    }

    /// Reads a review whose object is not looked at.
    ///
    /// # Errors
    /// When the bytes are no review.
    pub fn parse_other(bytes: &[u8], error: String) -> Result<Self, NoReview> {
        let review: Review<IgnoredAny> =
            serde_json::from_slice(bytes).map_err(|error| NoReview(error.to_string()))?;
        let Review {
            api_version,
            kind,
            request,
        } = review;
        let object = if is_pod(&request.kind) {
            Object::UnreadablePod(error)
        } else {
            Object::Other
        };
        Self::new(api_version, &kind, request.uid, request.namespace, object)
    }

    fn new(
        api_version: String,
        kind: &str,
        uid: String,
        namespace: String,
        object: Object,
    ) -> Result<Self, NoReview> {
        if kind != KIND || !API_VERSIONS.contains(&api_version.as_str()) {
            return Err(NoReview(format!("it is a {kind:?} of {api_version:?}")));
        }
        Ok(Self {
            reply: Reply { api_version, uid },
            namespace,
            object,
        })
    }

    /// Takes the object out.
    #[must_use]
    pub fn into_parts(self) -> (Object, String, Answerer) {
        (self.object, self.namespace, Answerer(self.reply))
    }
}

fn is_pod(kind: &GroupVersionKind) -> bool {
    kind.kind == "Pod" && kind.group.is_empty()
}

/// Writes the answer to one question.
#[derive(Debug)]
pub struct Answerer(Reply);

impl Answerer {
    /// The object may be stored as it is, or with a patch. The warnings are for whoever stores it.
    #[must_use]
    pub fn allow(&self, patch: Option<&Patch>, warnings: &[String]) -> Vec<u8> {
        let patch = patch.and_then(encoded);
        self.write(&Response {
            uid: &self.0.uid,
            allowed: true,
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
            status: None,
            warnings,
        })
    }

    /// The object must not be stored. `code` is an HTTP status.
    #[must_use]
    pub fn deny(&self, code: u16, message: &str) -> Vec<u8> {
        let status = Some(Status {
            code,
            message: Cow::Borrowed(message),
        });
        let (patch, patch_type) = (None, None);
        self.write(&Response {
            uid: &self.0.uid,
            allowed: false,
            patch,
            patch_type,
            status,
            warnings: &[],
        })
    }

    fn write(&self, response: &Response<'_>) -> Vec<u8> {
        let answer = Answer {
            api_version: &self.0.api_version,
            kind: KIND,
            response,
        };
        let patch = response.patch.as_ref().map_or(0, |patch| patch.get().len());
        let mut text = Vec::with_capacity(patch + ROOM);
        let written = serde_json::to_writer(&mut text, &answer);
        written.map(|()| text).unwrap_or_default()
    }
}

/// A patch in base64, as JSON. It is the most of an answer and has nothing to be escaped: as a text it
/// would be searched for that letter by letter.
fn encoded(patch: &Patch) -> Option<Box<RawValue>> {
    let patch = patch.as_bytes();
    let mut json = String::with_capacity(patch.len().div_ceil(3) * 4 + 2);
    json.push('"');
    STANDARD.encode_string(patch, &mut json);
    json.push('"');
    RawValue::from_string(json).ok()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: &'a Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    message: Cow<'a, str>,
}
