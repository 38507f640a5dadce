//! Redirection as applications live with it, once with each of the two back ends. What packet goes where
//! is shown in network namespaces; here whole pods talk.

mod applications;
mod dns;
mod exclusions;
mod stage;
mod tproxy;

use anyhow::{Context as _, Result, ensure};
use lateen_tests::bed::manifest::{pod, service_account, template};
use lateen_tests::bed::{Backend, Bed};

/// Makes a test of each function for each back end: `redirection::iptables::NAME` and
/// `redirection::nftables::NAME`.
macro_rules! with_each_backend {
    ($($module:ident::$name:ident),* $(,)?) => {
        with_each_backend!(@ iptables, Iptables, $($module::$name),*);
        with_each_backend!(@ nftables, Nftables, $($module::$name),*);
    };
    (@ $tests:ident, $backend:ident, $($module:ident::$name:ident),*) => {
        mod $tests {
            $(
                #[tokio::test]
                async fn $name() -> anyhow::Result<()> {
                    super::$module::$name(lateen_tests::bed::Backend::$backend).await
                }
            )*
        }
    };
}

with_each_backend!(
    applications::applications_talk_as_ever,
    applications::init_containers_are_in_the_mesh_once_it_is_there,
    applications::the_proxys_user_bypasses_the_mesh,
    dns::captured_dns_answers_over_udp_and_tcp,
    exclusions::what_is_excluded_is_not_redirected,
    tproxy::in_mode_tproxy_the_application_sees_the_client,
);

#[tokio::test]
async fn a_pod_that_says_nothing_is_redirected_by_iptables() -> Result<()> {
    let bed = Bed::injected("auto").await?;
    let web = pod("web", &template("web", &["sleep"]));
    bed.apply([service_account("web"), web]).await?;
    let web = bed.ready("app=web", 1).await?.remove(0);
    bed.redirected_by("web", Backend::Iptables).await?;
    let containers = web.spec.and_then(|spec| spec.init_containers);
    let mut containers = containers.into_iter().flatten();
    let init = containers.find(|container| container.name == "istio-init");
    let arguments = init.context("no istio-init")?.args.unwrap_or_default();
    let chosen = |argument: &String| argument.contains("backend");
    ensure!(!arguments.iter().any(chosen), "{arguments:?}");
    bed.end().await
}
