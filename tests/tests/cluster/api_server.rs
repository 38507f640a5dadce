//! The API server as applications use it. Comes first by its name: its test takes the longest.

use anyhow::{Result, ensure};
use kube::ResourceExt as _;
use lateen_tests::bed::Bed;
use lateen_tests::bed::manifest::client;
use serde_json::json;

#[tokio::test]
async fn it_is_read_and_watched_through_the_sidecar() -> Result<()> {
    let bed = Bed::injected("api").await?;
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "reader" },
        "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"] }] });
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "name": "client", "namespace": bed.namespace }] });
    bed.apply([role, binding]).await?;
    bed.apply(client("client")).await?;
    let client = bed.ready("app=client", 1).await?[0].name_any();
    let watch = [
        "/usr/local/bin/lateen-samples",
        "client",
        "kube-watch",
        "--duration",
        "120",
    ];
    let printed = bed.run(&client, "app", &watch).await?.stdout()?;
    ensure!(printed.contains("\"broken\":null"), "{printed}");
    bed.end().await
}
