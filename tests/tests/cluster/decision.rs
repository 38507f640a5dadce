//! Whom the API server asks about a pod: Istio's truth table, cell by cell, against the webhook
//! configurations that an installation, another revision and a tag have.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
use lateen_tests::bed::admission::{injected_by, sidecar};
use lateen_tests::bed::manifest::{merge, pod, service_account, template};
use lateen_tests::bed::{self, Bed, lateenctl};
use serde_json::{Map, Value, json};

/// Labels of pods, the columns of the table. `OTHER` stands for the name of another revision, and
/// `TAG` for a tag of the default one.
const PODS: [&str; 10] = [
    "",
    "sidecar.istio.io/inject=true",
    "sidecar.istio.io/inject=false",
    "istio.io/rev=default",
    "istio.io/rev=OTHER",
    "istio.io/rev=TAG",
    // What says nothing is treated as if it were not said, where the injector is asked.
    "sidecar.istio.io/inject=False",
    "sidecar.istio.io/inject=true,istio.io/rev=OTHER",
    "sidecar.istio.io/inject=true,istio.io/rev=TAG",
    "sidecar.istio.io/inject=false,istio.io/rev=default",
];

/// Labels of a namespace, and who injects each of the pods in it: `D`efault, `O`ther, `-` nobody.
const TABLE: [(&str, &str); 12] = [
    ("", "-D-DOD-OD-"),
    ("istio-injection=enabled", "DD-DDDDDD-"),
    ("istio-injection=enabled,istio.io/rev=default", "DD-DDDDDD-"),
    ("istio-injection=enabled,istio.io/rev=OTHER", "DD-DDDDDD-"),
    ("istio-injection=disabled", "----------"),
    ("istio-injection=Enabled", "----------"),
    ("istio-injection=", "----------"),
    (
        "istio-injection=disabled,istio.io/rev=default",
        "----------",
    ),
    ("istio.io/rev=default", "DD-DDDDDD-"),
    ("istio.io/rev=TAG", "DD-DDDDDD-"),
    ("istio.io/rev=OTHER", "OO-OOOOOO-"),
    ("istio.io/rev=nobody", "----------"),
];

/// A namespace without labels where namespaces are injected by default.
const BY_DEFAULT: &str = "DD-DOD-OD-";

/// The label of objects that belong to an installation.
const PART_OF: &str = "app.kubernetes.io/part-of";

/// Who injects a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Nobody,
    Default,
    Other,
}

/// The names that the placeholders of the table stand for; nobody else uses them.
struct Names {
    other: String,
    tag: String,
}

#[tokio::test]
async fn pods_are_injected_as_labels_of_theirs_and_of_their_namespace_say() -> Result<()> {
    let (bed, names) = (Bed::plain("decision").await?, Names::new());
    let configurations = names.configurations().await?;
    names.put_in_force(&bed, &configurations, &[]).await?;
    let rows = TABLE.iter().map(async |(labels, cells)| {
        let bed = Bed::labelled("decision", names.labels(labels)).await?;
        let wrong = names.check(&bed, cells).await?;
        bed.end().await?;
        let wrong = wrong.into_iter();
        anyhow::Ok(wrong.map(move |cell| format!("in a namespace with [{labels}], {cell}")))
    });
    let wrong: Vec<String> = try_join_all(rows).await?.into_iter().flatten().collect();
    delete(&bed, &configurations).await?;
    ensure!(wrong.is_empty(), "{wrong:#?}");
    bed.end().await
}

#[tokio::test]
async fn namespaces_without_labels_are_injected_where_that_is_the_default() -> Result<()> {
    let (bed, names) = (Bed::plain("by-default").await?, Names::new());
    let mut configurations = names.configurations().await?;
    configurations.push(injection_by_default_of(&bed).await?);
    let everybody = [("", By::Default)];
    names
        .put_in_force(&bed, &configurations, &everybody)
        .await?;
    let wrong = names.check(&bed, BY_DEFAULT).await?;
    delete(&bed, &configurations).await?;
    ensure!(wrong.is_empty(), "{wrong:#?}");
    bed.end().await
}

impl Names {
    fn new() -> Self {
        let number = fastrand::u32(..0x10_0000);
        Self {
            other: format!("other-{number:05x}"),
            tag: format!("tag-{number:05x}"),
        }
    }

    /// What another revision and a tag of the default one add to an installation. Nobody serves the
    /// other revision: whoever is sent there comes back with its name.
    async fn configurations(&self) -> Result<Vec<Value>> {
        let other = ["manifest", "generate", "--revision", &self.other];
        let tag = ["tag", "generate", &self.tag, "--revision", "default"];
        let (other, tag) = (configurations(&other).await?, configurations(&tag).await?);
        ensure!(other.len() == 1 && tag.len() == 1, "{other:#?} {tag:#?}");
        Ok([other, tag].concat())
    }

    /// Stores the configurations and waits until the API server goes by them, which it does a moment
    /// later: until it asks about pods with the name of the other revision, of the tag, and `more`.
    async fn put_in_force(
        &self,
        bed: &Bed,
        configurations: &[Value],
        more: &[(&str, By)],
    ) -> Result<()> {
        bed.apply(configurations.to_vec()).await?;
        bed.apply([service_account("web")]).await?;
        let named = [
            ("istio.io/rev=OTHER", By::Other),
            ("istio.io/rev=TAG", By::Default),
        ];
        for (labels, wanted) in named.iter().chain(more) {
            bed::eventually(
                &format!("a pod with [{labels}] is asked about"),
                async || {
                    let found = self.asked(bed, labels).await?;
                    ensure!(found == *wanted, "it is injected by {found}");
                    Ok(())
                },
            )
            .await?;
        }
        Ok(())
    }

    /// `key=value,key=value` as an object.
    fn labels(&self, text: &str) -> Value {
        let text = text.replace("OTHER", &self.other).replace("TAG", &self.tag);
        let labels = text.split(',').filter_map(|label| label.split_once('='));
        let labels = labels.map(|(key, value)| (key.to_owned(), value.into()));
        Value::Object(labels.collect::<Map<_, _>>())
    }

    /// The cells of a row that are not as they should be.
    async fn check(&self, bed: &Bed, cells: &str) -> Result<Vec<String>> {
        bed.apply([service_account("web")]).await?;
        ensure!(cells.len() == PODS.len(), "{cells} is not a row");
        let cells = PODS.iter().zip(cells.chars()).map(async |(labels, cell)| {
            let (wanted, found) = (By::of_cell(cell)?, self.asked(bed, labels).await?);
            let wrong = || format!("a pod with [{labels}] is injected by {found}, not by {wanted}");
            anyhow::Ok((found != wanted).then(wrong))
        });
        Ok(try_join_all(cells).await?.into_iter().flatten().collect())
    }

    async fn asked(&self, bed: &Bed, labels: &str) -> Result<By> {
        let mut web = pod("web", &template("web", &["sleep"]));
        merge(
            &mut web,
            json!({ "metadata": { "labels": self.labels(labels) } }),
        );
        match bed.admit(&web).await {
            Ok(pod) => match (sidecar(&pod), injected_by(&pod)) {
                (None, None) => Ok(By::Nobody),
                (Some(_), Some("default")) => Ok(By::Default),
                other => bail!("[{labels}] makes {other:?}"),
            },
            Err(error) if error.to_string().contains(&self.other) => Ok(By::Other),
            Err(error) => Err(error).with_context(|| format!("A pod with [{labels}]")),
        }
    }
}

impl By {
    fn of_cell(cell: char) -> Result<Self> {
        match cell {
            '-' => Ok(Self::Nobody),
            'D' => Ok(Self::Default),
            'O' => Ok(Self::Other),
            _ => bail!("{cell} is no cell"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nobody => "nobody",
            Self::Default => "the default revision",
            Self::Other => "the other revision",
        })
    }
}

/// The webhook configurations for injection among what `lateenctl` prints.
async fn configurations(arguments: &[&str]) -> Result<Vec<Value>> {
    let printed = bed::run(&mut lateenctl(arguments)).await?.stdout()?;
    let documents = printed.split("\n---\n");
    let mut configurations = Vec::new();
    for document in documents.filter(|text| text.contains("\nkind: MutatingWebhookConfiguration")) {
        let mut configuration: Value = serde_saphyr::from_str(document)?;
        // They come and go beside the installation, and are no part of it.
        let labels = configuration.pointer_mut("/metadata/labels");
        let labels = labels.and_then(Value::as_object_mut);
        labels.context("no labels")?.remove(PART_OF);
        configurations.push(configuration);
    }
    Ok(configurations)
}

/// The entry that fires in namespaces without labels, which in the installation under test would be
/// about everybody: for one namespace, and otherwise as an installation has it.
async fn injection_by_default_of(bed: &Bed) -> Result<Value> {
    let value = "sidecarInjectorWebhook.enableNamespacesByDefault=true";
    let mut printed = configurations(&["manifest", "generate", "--set", value]).await?;
    let mut configuration = printed.pop().context("no configuration")?;
    configuration["metadata"]["name"] = format!("injection-of-{}", bed.namespace).into();
    let entries = configuration["webhooks"].as_array_mut();
    let entries = entries.context("no entries")?;
    entries.retain(|entry| entry["name"] == "auto.sidecar-injector.istio.io");
    let entry = entries.first_mut().context("no entry for all namespaces")?;
    let here = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [bed.namespace] });
    let expressions = entry.pointer_mut("/namespaceSelector/matchExpressions");
    let expressions = expressions.and_then(Value::as_array_mut);
    expressions.context("no selector")?.push(here);
    let authority = [
        "get",
        "mutatingwebhookconfiguration",
        "istio-sidecar-injector",
    ];
    let bundle = ["--output", "jsonpath={.webhooks[0].clientConfig.caBundle}"];
    let bundle = bed.kubectl(&[&authority[..], &bundle].concat()).await?;
    entry["clientConfig"]["caBundle"] = bundle.into();
    Ok(configuration)
}

async fn delete(bed: &Bed, configurations: impl IntoIterator<Item = &Value>) -> Result<()> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(bed.client.clone());
    for configuration in configurations {
        let name = configuration["metadata"]["name"].as_str().unwrap();
        api.delete(name, &Default::default()).await?;
    }
    Ok(())
}
