//! Tokens of workloads: projected service account tokens for our audience, bound to a pod, checked
//! by the API server each time.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

/// Longest token; the API server's own have 1,000 to 2,000 bytes.
const MAX_SIZE: usize = 16 * 1024;
/// What the API server says of a bound token, beside its user.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Who has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Namespace of the service account and of the pod.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The pod that the token is bound to.
    pub pod: String,
    /// That pod's uid.
    pub uid: String,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Expired, of another audience, of a deleted pod, or no token at all.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// Valid, but not of a service account, or not bound to a pod.
    #[error("the token is not bound to a pod of a service account")]
    NotBound,
    /// The API server could not be asked.
    #[error("the API server could not review the token: {0}")]
    Unavailable(String),
}

/// Checks tokens.
pub trait Tokens: Send + Sync + 'static {
    /// Who has this token, if it is good.
    fn review(&self, token: &str) -> impl Future<Output = Result<Bearer, TokenError>> + Send;
}

/// Checks tokens with the API server. Nothing is cached: a token is as good as its pod is alive.
pub struct ApiServerTokens {
    reviews: Api<TokenReview>,
    audience: String,
}

impl ApiServerTokens {
    /// Asks the API server of this client for tokens of this audience.
    #[must_use]
    pub fn new(client: Client, audience: String) -> Self {
        Self {
            reviews: Api::all(client),
            audience,
        }
    }
}

impl Tokens for ApiServerTokens {
    async fn review(&self, token: &str) -> Result<Bearer, TokenError> {
        if token.is_empty() || token.len() > MAX_SIZE {
            return Err(TokenError::Invalid("its length is impossible".to_owned()));
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: Some(token.to_owned()),
            },
            status: None,
        };
        let reviewed = self.reviews.create(&PostParams::default(), &review).await;
        let status = reviewed
            .map_err(|error| TokenError::Unavailable(error.to_string()))?
            .status
            .unwrap_or_default();
        let audiences = status.audiences.unwrap_or_default();
        if status.authenticated != Some(true) {
            let reason = status.error;
            return Err(TokenError::Invalid(
                reason.unwrap_or_else(|| "not authenticated".to_owned()),
            ));
        }
        if !audiences.contains(&self.audience) {
            let reason = format!("it is not for audience {}", self.audience);
            return Err(TokenError::Invalid(reason));
        }
        status
            .user
            .as_ref()
            .and_then(bearer)
            .ok_or(TokenError::NotBound)
    }
}

fn bearer(user: &UserInfo) -> Option<Bearer> {
    let account = user
        .username
        .as_deref()?
        .strip_prefix("system:serviceaccount:")?;
    let (namespace, service_account) = account.split_once(':')?;
    let extra = |name| Some(user.extra.as_ref()?.get(name)?.first()?.clone());
    Some(Bearer {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        pod: extra(POD_NAME)?,
        uid: extra(POD_UID)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api_server;

    /// Has a token reviewed by an API server that says this about it.
    async fn review(says: (u16, Value)) -> Result<Bearer, TokenError> {
        let client = api_server::client(move |request| {
            let asked: Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(asked["spec"]["audiences"], json!(["mesh-ca"]));
            assert_eq!(asked["spec"]["token"], "token");
            says.clone()
        });
        let tokens = ApiServerTokens::new(client, "mesh-ca".to_owned());
        tokens.review("token").await
    }

    fn reviewed(status: &Value) -> (u16, Value) {
        (201, json!({ "metadata": {}, "spec": {}, "status": status }))
    }

    fn user(name: &str, extra: &Value) -> Value {
        json!({ "authenticated": true, "audiences": ["mesh-ca"],
            "user": { "username": name, "extra": extra } })
    }

    #[tokio::test]
    async fn a_token_is_as_good_as_the_api_server_says() {
        let pod = json!({ POD_NAME: ["web-0"], POD_UID: ["u-1"] });
        let good = user("system:serviceaccount:shop:web", &pod);
        let bearer = review(reviewed(&good)).await.unwrap();
        assert_eq!(bearer.namespace, "shop");
        assert_eq!(bearer.service_account, "web");
        assert_eq!((bearer.pod.as_str(), bearer.uid.as_str()), ("web-0", "u-1"));

        let mut other = good;
        other["audiences"] = json!(["somebody-else"]);
        let expired = json!({ "authenticated": false, "error": "the token has expired" });
        let invalid = |reason: &str| TokenError::Invalid(reason.to_owned());
        for (says, error) in [
            (reviewed(&expired), invalid("the token has expired")),
            (reviewed(&json!({})), invalid("not authenticated")),
            (reviewed(&other), invalid("it is not for audience mesh-ca")),
            (
                reviewed(&user("system:serviceaccount:shop:web", &json!({}))),
                TokenError::NotBound,
            ),
            (reviewed(&user("admin", &pod)), TokenError::NotBound),
        ] {
            assert_eq!(review(says).await.unwrap_err(), error);
        }
        let away = review(api_server::refusal(500, "Away")).await;
        assert!(matches!(away, Err(TokenError::Unavailable(_))), "{away:?}");
    }
}
