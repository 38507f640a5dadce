//! Environment of the proxy's container, in Istio's order.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use lateen_wire::{names, ports};

use super::{Plan, tracing};
use crate::overrides::is_ours;

/// The proxy's variables.
pub(super) fn variables(plan: &Plan<'_>) -> Vec<EnvVar> {
    let global = &plan.values.global;
    let mut variables = Variables(Vec::with_capacity(32));
    if asks_probes_on_localhost(plan) {
        let name = "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION";
        variables.set(name, "true".to_owned());
    }
    variables.set("PILOT_CERT_PROVIDER", global.pilot_cert_provider.clone());
    variables.set("CA_ADDR", certificate_authority(plan));
    variables.field("POD_NAME", "metadata.name");
    variables.field("POD_NAMESPACE", "metadata.namespace");
    variables.field("INSTANCE_IP", "status.podIP");
    variables.field("SERVICE_ACCOUNT", "spec.serviceAccountName");
    variables.field("HOST_IP", "status.hostIP");
    variables.resource("ISTIO_CPU_LIMIT", "limits.cpu");
    variables.set("PROXY_CONFIG", plan.proxy_config_json.clone().into_owned());
    variables.set("ISTIO_META_POD_PORTS", pod_ports(plan));
    let containers: Vec<&str> = plan
        .containers()
        .map(|container| container.name.as_str())
        .collect();
    if !containers.is_empty() {
        variables.set("ISTIO_META_APP_CONTAINERS", containers.join(","));
    }
    variables.resource("GOMEMLIMIT", "limits.memory");
    if let Some(policy) = plan.values.pilot.compliance_policy() {
        variables.set("COMPLIANCE_POLICY", policy.to_owned());
        if policy == "fips-140-3" {
            // For programs in Go, of which images of the user's own may have some.
            variables.set("GODEBUG", "fips140=only".to_owned());
        }
    }
    variables.set("ISTIO_META_CLUSTER_ID", global.cluster().to_owned());
    variables.field("ISTIO_META_NODE_NAME", "spec.nodeName");
    let mode = plan.interception_mode().as_str().to_owned();
    variables.set("ISTIO_META_INTERCEPTION_MODE", mode);
    if let Some(network) = plan.network() {
        variables.set("ISTIO_META_NETWORK", network.to_owned());
    }
    variables.set("ISTIO_META_WORKLOAD_NAME", workload_name(plan).to_owned());
    variables.set("ISTIO_META_OWNER", plan.owner.url(plan.namespace));
    if plan.options.bootstrap_override.is_some() {
        let file = "/etc/istio/custom-bootstrap/custom_bootstrap.json";
        variables.set("ISTIO_BOOTSTRAP_OVERRIDE", file.to_owned());
    }
    variables.set("ISTIO_META_MESH_ID", mesh_id(plan).to_owned());
    variables.set("TRUST_DOMAIN", plan.mesh.trust_domain.clone());
    for (name, value) in plan.datadog {
        variables.put(literal(name, value));
    }
    if let Some(attributes) = tracing::resource_attributes(plan) {
        variables.set("OTEL_RESOURCE_ATTRIBUTES", attributes);
    }
    let metadata = plan.proxy_config.proxy_metadata.iter();
    for (name, value) in metadata.chain(&plan.parameters.environment) {
        variables.set(name, value.clone());
    }
    variables.0
}

/// Istio's old way, in which the agent asks the application at `localhost`.
fn asks_probes_on_localhost(plan: &Plan<'_>) -> bool {
    let policy = plan.mesh.inbound_traffic_policy.as_ref();
    let mode = policy.and_then(|policy| policy.get("mode")?.as_str());
    mode == Some("LOCALHOST") && !plan.is_gateway()
}

/// A variable whose value is to arrive as it is: Kubernetes takes `$(NAME)` for a reference and `$$`
/// for a dollar.
pub(crate) fn literal(name: &str, value: &str) -> EnvVar {
    let value = Some(value.replace('$', "$$"));
    EnvVar {
        name: name.to_owned(),
        value,
        ..EnvVar::default()
    }
}

struct Variables(Vec<EnvVar>);

impl Variables {
    /// Sets a variable; one that is there already keeps its place.
    fn set(&mut self, name: &str, value: String) {
        self.put(EnvVar {
            name: name.to_owned(),
            value: Some(value),
            ..EnvVar::default()
        });
    }

    fn field(&mut self, name: &str, path: &str) {
        let field_path = path.to_owned();
        let source = EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path,
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        };
        self.source(name, source);
    }

    fn resource(&mut self, name: &str, resource: &str) {
        let selector = ResourceFieldSelector {
            resource: resource.to_owned(),
            divisor: Some(Quantity("1".to_owned())),
            ..ResourceFieldSelector::default()
        };
        let source = EnvVarSource {
            resource_field_ref: Some(selector),
            ..EnvVarSource::default()
        };
        self.source(name, source);
    }

    fn source(&mut self, name: &str, source: EnvVarSource) {
        self.put(EnvVar {
            name: name.to_owned(),
            value_from: Some(source),
            ..EnvVar::default()
        });
    }

    fn put(&mut self, variable: EnvVar) {
        match self.0.iter_mut().find(|set| set.name == variable.name) {
            Some(set) => *set = variable,
            None => self.0.push(variable),
        }
    }
}

/// Address of the certificate authority: control of this revision, unless the values name another.
fn certificate_authority(plan: &Plan<'_>) -> String {
    let global = &plan.values.global;
    if !global.ca_address.is_empty() {
        return global.ca_address.clone();
    }
    let revision = plan.values.revision();
    let suffix = if revision == names::DEFAULT_REVISION {
        String::new()
    } else {
        format!("-{revision}")
    };
    format!(
        "{}{suffix}.{}.svc:{}",
        names::CONTROL,
        global.istio_namespace,
        ports::DISCOVERY
    )
}

/// The ports that the application declares, or the gateway, as JSON.
fn pod_ports(plan: &Plan<'_>) -> String {
    let containers = plan.pod.spec.iter().flat_map(|spec| &spec.containers);
    let serves = |container: &&Container| plan.is_gateway() || !is_ours(container);
    let ports: Vec<&ContainerPort> = containers
        .filter(serves)
        .flat_map(|container| container.ports.iter().flatten())
        .collect();
    serde_json::to_string(&ports).unwrap_or_else(|_| "[]".to_owned())
}

fn workload_name<'a>(plan: &'a Plan<'_>) -> &'a str {
    let labels = plan.pod.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(names::WORKLOAD_NAME))
        .filter(|name| !name.is_empty())
        .unwrap_or(&plan.owner.name)
}

fn mesh_id<'a>(plan: &'a Plan<'_>) -> &'a str {
    let candidates = [&plan.values.global.mesh_id, &plan.proxy_config.mesh_id];
    let set = candidates.into_iter().find(|id| !id.is_empty());
    set.unwrap_or(&plan.mesh.trust_domain)
}
