//! From the state the kernel is in to the state the options ask for, and never to half of it.
//!
//! A [`plan`] is made of [`step`]s, one for each thing that can be changed whole: the rules as one
//! kind of program sees them, the rules of nf_tables, an address, a route. Everything is read before
//! anything changes, so that what is missing is found first. What is as it should be is left alone;
//! what was changed is read again. If a step fails, it and those before it are taken back. All this
//! is one run's turn: another run in the same network namespace waits.

mod plan;
mod rules;
mod step;
mod surroundings;

use crate::Error;
use crate::family::Family;
use crate::options::{Backend, Options};
use crate::pod::{self, Ipv6};
use crate::report;
use crate::turn::Turn;
use plan::Means;
use step::Step;

/// Makes the rules that the options ask for, or removes ours if they ask for that.
///
/// # Errors
/// When this cannot be; then the rules are what they were before, unless the error says otherwise.
pub fn apply(options: &Options, ipv6: Ipv6) -> Result<(), Error> {
    if !pod::may_change_rules() {
        return Err(Error::Capability);
    }
    let _turn = Turn::wait().map_err(|cause| Error::Turn { cause })?;
    match options.backend {
        Backend::Iptables => apply_by(Means::Iptables, options, ipv6),
        Backend::Nftables => apply_by(Means::Nftables, options, ipv6),
        Backend::Auto => match apply_by(Means::Iptables, options, ipv6) {
            Err(error) if error.is_for_want_of_iptables() => {
                report::info(&format!("{error}. Trying nf_tables over netlink"));
                apply_by(Means::Nftables, options, ipv6)
            }
            result => result,
        },
    }
}

/// Where nothing can leave by IPv6 anyway, lacking rules for it are no reason to fail.
fn apply_by(means: Means, options: &Options, ipv6: Ipv6) -> Result<(), Error> {
    match plan::plan(means, options, ipv6).and_then(carry_out) {
        Err(error) if ipv6 == Ipv6::Idle && error.family() == Some(Family::V6) => {
            report::warn(&format!(
                "{error}. The pod has no IPv6 address and starts without IPv6 rules"
            ));
            plan::plan(means, options, Ipv6::Absent).and_then(carry_out)
        }
        result => result,
    }
}

/// All steps, or none.
fn carry_out(steps: Vec<Box<dyn Step>>) -> Result<(), Error> {
    let mut begun: Vec<Box<dyn Step>> = Vec::new();
    for mut step in steps {
        let result = step.bring_about();
        begun.push(step);
        if let Err(error) = result {
            return Err(begun.iter_mut().rev().fold(error, after_taking_back));
        }
    }
    Ok(())
}

/// The error to report once a step is taken back.
fn after_taking_back(error: Error, step: &mut Box<dyn Step>) -> Error {
    match step.take_back() {
        Ok(()) => error,
        Err(cause) => Error::Unfinished {
            error: Box::new(error),
            cause: Box::new(cause),
        },
    }
}
