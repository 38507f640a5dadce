//! Holds the table "Who may depend on whom" of `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const RUNTIME: &[&str] = &["tokio"];
const TLS: &[&str] = &["rustls", "aws-lc-rs"];
const CLIENTS: &[&str] = &["hyper", "kube-client"];
const KUBERNETES: &[&str] = &["k8s-openapi", "kube", "kube-client", "kube-core"];

/// A crate, those of ours that it may use, and what must not be linked with it.
struct Rule {
    package: &'static str,
    may_use: &'static [&'static str],
    never_links: &'static [&'static [&'static str]],
}

const RULES: &[Rule] = &[
    Rule {
        package: "lateen-wire",
        may_use: &[],
        never_links: &[RUNTIME, TLS, KUBERNETES],
    },
    Rule {
        package: "lateen-api",
        may_use: &["lateen-wire"],
        never_links: &[RUNTIME, TLS, CLIENTS],
    },
    Rule {
        package: "lateen-routing",
        may_use: &["lateen-wire"],
        never_links: &[TLS, KUBERNETES],
    },
    Rule {
        package: "lateen-init",
        may_use: &["lateen-wire"],
        never_links: &[RUNTIME, TLS, KUBERNETES],
    },
    Rule {
        package: "lateen-proxy",
        may_use: &["lateen-wire", "lateen-routing"],
        never_links: &[KUBERNETES],
    },
    Rule {
        package: "lateen-webhook",
        may_use: &["lateen-wire", "lateen-api"],
        never_links: &[],
    },
    Rule {
        package: "lateen-control",
        may_use: &["lateen-wire", "lateen-api", "lateen-routing"],
        never_links: &[],
    },
    Rule {
        package: "lateenctl",
        may_use: &[
            "lateen-api",
            "lateen-control",
            "lateen-routing",
            "lateen-webhook",
            "lateen-wire",
        ],
        never_links: &[],
    },
    Rule {
        package: "lateen-samples",
        may_use: &[],
        never_links: &[KUBERNETES],
    },
];

/// These are built from everything and nothing is built from them.
const TOOLS: [&str; 2] = ["lateen-tests", "xtask"];

#[test]
fn crates_use_only_those_of_ours_that_they_may() -> Result<()> {
    let used = dependencies_among_ours()?;
    for rule in RULES {
        let allowed: BTreeSet<_> = rule.may_use.iter().map(|&name| name.to_owned()).collect();
        let surplus: Vec<_> = used[rule.package].difference(&allowed).collect();
        assert!(
            surplus.is_empty(),
            "{} must not depend on {surplus:?}",
            rule.package
        );
    }
    Ok(())
}

#[test]
fn every_crate_has_a_rule() -> Result<()> {
    let ruled = RULES.iter().map(|rule| rule.package).chain(TOOLS);
    let ruled: BTreeSet<_> = ruled.map(str::to_owned).collect();
    let crates: BTreeSet<_> = dependencies_among_ours()?.into_keys().collect();
    assert_eq!(crates, ruled);
    Ok(())
}

#[test]
fn nothing_is_linked_where_it_must_not_be() -> Result<()> {
    for rule in RULES.iter().filter(|rule| !rule.never_links.is_empty()) {
        let linked = linked_with(rule.package)?;
        for &name in rule.never_links.iter().copied().flatten() {
            assert!(
                !linked.contains(name),
                "{} is linked with {name}",
                rule.package
            );
        }
    }
    Ok(())
}

/// Each crate of the workspace with those of the workspace that it depends on when it is built, as
/// opposed to tested.
fn dependencies_among_ours() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let metadata = MetadataCommand::new()
        .manifest_path(ROOT.to_owned() + "/Cargo.toml")
        .no_deps()
        .exec()?;
    let names = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string());
    let ours: BTreeSet<_> = names.collect();
    let used = metadata.packages.iter().map(|package| {
        let used = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .map(|dependency| dependency.name.clone())
            .filter(|name| ours.contains(name));
        (package.name.to_string(), used.collect())
    });
    Ok(used.collect())
}

/// The names of all crates that end up in `package`, with the features that it asks for itself.
fn linked_with(package: &str) -> Result<BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(ROOT)
        .args([
            "tree",
            "--edges=normal",
            "--prefix=none",
            "--format={p}",
            "--package",
            package,
        ])
        .output()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}
