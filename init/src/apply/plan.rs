//! Which steps there are, and in which order.
//!
//! What rules need comes before them. Rules of ours that another means made in an earlier run go
//! after the new ones are in place: in between a connection meets both, and the first that decides
//! about it wins; there is never a moment without any. What `iptables-nft` made goes in the same
//! transaction as nf_tables' own rules come.

use super::rules::{IptablesRules, Rules};
use super::step::Step;
use super::surroundings::{Address, Route};
use crate::Error;
use crate::family::Family;
use crate::iptables::{self, Iptables};
use crate::netlink::route::MarkedRoute;
use crate::nftables::{self, Nftables, Scope};
use crate::options::Options;
use crate::pod::Ipv6;
use crate::rules;

/// What programs the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Means {
    /// The programs of iptables.
    Iptables,
    /// nf_tables over netlink.
    Nftables,
}

type Steps = Vec<Box<dyn Step>>;

/// The steps to what the options ask for.
///
/// # Errors
/// When something needed is missing, or cannot be read. Nothing has changed then.
pub(super) fn plan(means: Means, options: &Options, ipv6: Ipv6) -> Result<Steps, Error> {
    let mut steps = Steps::new();
    for family in ipv6.families() {
        if family == Family::V6 {
            steps.push(Box::new(Address::new(!options.run.cleanup_only)));
        }
        steps.push(Box::new(Route::read(family, wanted_route(options))?));
    }
    steps.extend(match means {
        Means::Iptables => by_iptables(options, ipv6)?,
        Means::Nftables => by_nftables(options, ipv6)?,
    });
    Ok(steps)
}

fn wanted_route(options: &Options) -> Option<MarkedRoute> {
    let route = options.marked_route().filter(|_| !options.run.cleanup_only);
    route.map(|(mark, table)| MarkedRoute { mark, table })
}

fn by_iptables(options: &Options, ipv6: Ipv6) -> Result<Steps, Error> {
    let mut steps = Steps::new();
    let mut leftovers = Steps::new();
    for family in ipv6.families() {
        let chosen = Iptables::choose(family, options.variant);
        let (iptables, before) = chosen.map_err(|failure| Error::Iptables {
            attempt: "read",
            family,
            failure,
        })?;
        if let Some((other, before)) = iptables.with_leftovers(family) {
            leftovers.push(removal(family, other, before));
        }
        let wanted = if options.run.cleanup_only {
            iptables::State::default()
        } else {
            iptables::State::from(&rules::build(options, family))
        };
        let holder = IptablesRules {
            family,
            iptables,
            flexible: options.variant.is_none(),
        };
        let forced = options.run.force_apply;
        steps.push(Box::new(Rules::new(holder, before, wanted, forced)));
    }
    // A kernel that has no nf_tables holds nothing in them.
    if let Ok(nftables) = Nftables::open(Scope::OwnTables)
        && let Ok(before) = nftables.state()
        && !before.is_empty()
    {
        let nothing = nftables::State::default();
        leftovers.push(Box::new(Rules::new(nftables, before, nothing, false)));
    }
    steps.extend(leftovers);
    Ok(steps)
}

fn by_nftables(options: &Options, ipv6: Ipv6) -> Result<Steps, Error> {
    let failed = |failure| Error::Nftables {
        attempt: "read",
        failure,
    };
    let nftables = Nftables::open(Scope::Everything).map_err(failed)?;
    let before = nftables.state().map_err(failed)?;
    let wanted = if options.run.cleanup_only {
        nftables::State::default()
    } else {
        let rules: Vec<_> = ipv6
            .families()
            .map(|family| (family, rules::build(options, family)))
            .collect();
        nftables::State::of(rules.iter().map(|(family, rules)| (*family, rules)))
    };
    let forced = options.run.force_apply;
    let mut steps: Steps = vec![Box::new(Rules::new(nftables, before, wanted, forced))];
    for family in ipv6.families() {
        if let Some((legacy, before)) = Iptables::legacy_leftovers(family) {
            steps.push(removal(family, legacy, before));
        }
    }
    Ok(steps)
}

/// The removal of rules that another means made.
fn removal(family: Family, iptables: Iptables, before: iptables::State) -> Box<dyn Step> {
    let holder = IptablesRules {
        family,
        iptables,
        flexible: false,
    };
    let nothing = iptables::State::default();
    Box::new(Rules::new(holder, before, nothing, false))
}
