//! What needs a Kubernetes: the mesh is installed as a user would, with the access rights that
//! ship and nothing more.
//!
//! Two programs of tests wait for minutes while little happens: that of the local cluster itself,
//! and the one that takes control away. They run beside the others, on clusters of their own. The
//! disruptive tests begin when the parallel ones have ended, and have their cluster to themselves;
//! the roll-outs have the machine to themselves.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use anyhow::Result;
use lateen_tests::cluster::Name;

use super::Options;
use super::report::Report;
use crate::images::{self, Images};
use crate::mesh::{self, Place};
use crate::shell;
use crate::workspace::Workspace;

/// Two, so that traffic crosses from one to the other.
const NODES: u8 = 2;

/// One run of a test program of `lateen-tests`.
struct Run {
    stage: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

/// Tests wait for pods most of the time, so there can be more of them than cores.
const PARALLEL: Run = Run {
    stage: "cluster: tests",
    program: "cluster",
    arguments: &["--test-threads=8"],
};

/// Each alone, since it takes parts of the mesh away.
const DISRUPTIVE: Run = Run {
    stage: "cluster: disruptive tests",
    program: "disruptive",
    arguments: &[
        "--test-threads=1",
        "--skip=outage::",
        "--skip=revision::",
        "--skip=rollout::",
    ],
};

/// Pods are replaced under load, in a race of milliseconds with the kubelet.
const ROLLOUT: Run = Run {
    stage: "cluster: roll-outs",
    program: "disruptive",
    arguments: &["--test-threads=1", "revision::", "rollout::"],
};

/// Five minutes without control.
const OUTAGE: Run = Run {
    stage: "outage: tests",
    program: "disruptive",
    arguments: &["--test-threads=1", "outage::"],
};

/// Makes clusters and takes them down; needs none, and no mesh.
const LOCAL_CLUSTER: Run = Run {
    stage: "local cluster",
    program: "local",
    arguments: &[],
};

/// Runs the cluster tests and takes the clusters down again, also when they failed.
pub(crate) fn run(workspace: &Workspace, options: &Options, report: &Report) {
    let push = options.push.as_deref();
    let build = || images::build(workspace, &images::Options::quick(push));
    let Some(images) = report.stage("cluster: images", build) else {
        return;
    };
    let tests = Tests {
        workspace,
        images: &images,
        report,
        run: shell::tell,
    };
    if let Some(kubeconfig) = &options.kubeconfig {
        let given = || Place::up(&options.name, NODES, Some(kubeconfig));
        let place = tests.set_up("cluster", given);
        tests.run_in(place.as_ref(), &[PARALLEL, DISRUPTIVE, ROLLOUT, OUTAGE]);
        return;
    }
    let place = thread::scope(|scope| {
        // Says nothing unless it fails, so that what people see is the output of one program.
        let silent = Tests {
            run: |command| shell::read(command).map(drop),
            ..tests
        };
        scope.spawn(move || silent.beside(&options.name));
        let place = tests.set_up("cluster", || Place::up(&options.name, NODES, None));
        tests.run_in(place.as_ref(), &[PARALLEL, DISRUPTIVE]);
        place
    });
    tests.run_in(place.as_ref(), &[ROLLOUT]);
    report.stage("cluster: down", || Place::down(&options.name));
}

/// What every run needs.
#[derive(Clone, Copy)]
struct Tests<'a> {
    workspace: &'a Workspace,
    images: &'a Images,
    report: &'a Report,
    run: fn(&mut Command) -> Result<()>,
}

impl Tests<'_> {
    fn beside(&self, name: &Name) {
        self.report.stage(LOCAL_CLUSTER.stage, || {
            let program = &self.workspace.program;
            (self.run)(cargo_test(self.workspace, &LOCAL_CLUSTER).env("XTASK", program))
        });
        let outage = format!("{name}-outage");
        let place = self.set_up("outage", || Place::up(&outage.parse()?, NODES, None));
        self.run_in(place.as_ref(), &[OUTAGE]);
        self.report
            .stage("outage: down", || Place::down(&outage.parse()?));
    }

    /// A cluster with the mesh in it, if both came up.
    fn set_up(&self, title: &str, up: impl FnOnce() -> Result<Place>) -> Option<Place> {
        let place = self.report.stage(&format!("{title}: up"), up)?;
        let install = || {
            place.import(self.images)?;
            mesh::install(&place.kubectl, self.images)
        };
        let installed = self.report.stage(&format!("{title}: install"), install);
        if installed.is_none() {
            explain(&place);
        }
        installed.map(|()| place)
    }

    /// Runs the tests, if there is a cluster for them.
    fn run_in(&self, place: Option<&Place>, runs: &[Run]) {
        let Some(place) = place else { return };
        for run in runs {
            if self
                .report
                .stage(run.stage, || self.test(run, place))
                .is_none()
            {
                explain(place);
            }
        }
    }

    fn test(&self, run: &Run, place: &Place) -> Result<()> {
        let mut cargo = cargo_test(self.workspace, run);
        cargo
            .env("KUBECONFIG", &place.kubectl.kubeconfig)
            .env("KUBECTL", &place.kubectl.program)
            .env("LATEEN_HUB", &self.images.hub)
            .env("LATEEN_TAG", &self.images.tag)
            .env("LATEENCTL", &self.images.lateenctl);
        (self.run)(&mut cargo)
    }
}

/// Cargo, about to run tests. What fails there is the world, of which no stack tells: the words of a
/// failure come last.
fn cargo_test(workspace: &Workspace, run: &Run) -> Command {
    let mut cargo = workspace.cargo();
    cargo
        .envs([("RUST_BACKTRACE", "0"), ("RUST_LIB_BACKTRACE", "0")])
        .args(["test", "--locked", "--quiet", "--package=lateen-tests"])
        .args(["--test", run.program, "--"])
        .args(run.arguments);
    cargo
}

/// Prints the logs of the mesh and of every namespace with a pod that is not well.
fn explain(place: &Place) {
    let mut namespaces = BTreeSet::from([mesh::NAMESPACE.to_owned()]);
    namespaces.extend(place.kubectl.unwell_namespaces().unwrap_or_default());
    for namespace in &namespaces {
        place.kubectl.explain(namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_end_with_their_own_words_wherever_stacks_are_asked_for() {
        let workspace = Workspace::locate().expect("a checkout");
        let cargo = cargo_test(&workspace, &PARALLEL);
        for variable in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
            let mut variables = cargo.get_envs();
            let value = variables.find_map(|(name, value)| (name == variable).then_some(value?));
            assert_eq!(value, Some("0".as_ref()), "{variable}");
        }
    }
}
