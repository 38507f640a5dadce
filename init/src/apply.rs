//! From the state the kernel is in to the state the options ask for, and never to half of it.
//!
//! Both families are read first, so that what is missing is found before anything changes. A family
//! that is as it should be is left alone. Any other is changed in one transaction and read again. If
//! one fails, what was done to it and to the other is taken back. All this is one run's turn: another
//! run in the same network namespace waits.

use crate::Error;
use crate::family::Family;
use crate::iptables::{Failure, Iptables, State};
use crate::netlink;
use crate::options::Options;
use crate::pod::{self, Ipv6};
use crate::report;
use crate::rules;
use crate::turn::Turn;

/// Makes the rules that the options ask for, or removes ours if they ask for that.
///
/// # Errors
/// When this cannot be; then the rules are what they were before, unless the error says otherwise.
pub fn apply(options: &Options, ipv6: Ipv6) -> Result<(), Error> {
    if !pod::may_change_rules() {
        return Err(Error::Capability);
    }
    let _turn = Turn::wait().map_err(|cause| Error::Turn { cause })?;
    let mut sides = Vec::new();
    let mut leftovers = Vec::new();
    for family in ipv6.families() {
        match Side::read(family, options) {
            Ok(side) => {
                leftovers.extend(side.leftovers());
                sides.push(side);
            }
            Err(error) => tolerate(error, family, ipv6)?,
        }
    }
    sides.extend(leftovers);
    let mut done: Vec<&Side> = Vec::new();
    for side in &mut sides {
        let Err(error) = side.bring_about(options) else {
            done.push(side);
            continue;
        };
        if let Err(error) = tolerate(side.after_taking_back(error), side.family, ipv6) {
            let undone = |error, side: &&Side| side.after_taking_back(error);
            return Err(done.iter().rev().fold(error, undone));
        }
    }
    Ok(())
}

/// Where nothing can leave by IPv6 anyway, lacking rules for it are no reason to fail.
fn tolerate(error: Error, family: Family, ipv6: Ipv6) -> Result<(), Error> {
    if family == Family::V6 && ipv6 == Ipv6::Idle {
        report::warn(&format!(
            "{error}. The pod has no IPv6 address and starts without IPv6 rules"
        ));
        Ok(())
    } else {
        Err(error)
    }
}

/// One family: what there was before this run, and what there should be after it.
struct Side {
    family: Family,
    iptables: Iptables,
    before: State,
    wanted: State,
    /// Whether this run added, or removed, the address that the proxy sends from.
    address_changed: bool,
}

impl Side {
    fn read(family: Family, options: &Options) -> Result<Self, Error> {
        let (iptables, before) =
            Iptables::choose(family, options.variant).map_err(|failure| Error::Iptables {
                attempt: "read",
                family,
                failure,
            })?;
        let wanted = if options.run.cleanup_only {
            State::default()
        } else {
            State::from(&rules::build(options, family))
        };
        Ok(Self {
            family,
            iptables,
            before,
            wanted,
            address_changed: false,
        })
    }

    /// What a run that chose the other kind of iptables left behind.
    fn leftovers(&self) -> Option<Self> {
        let family = self.family;
        let (iptables, before) = self.iptables.with_leftovers(family)?;
        Some(Self {
            family,
            iptables,
            before,
            wanted: State::default(),
            address_changed: false,
        })
    }

    fn bring_about(&mut self, options: &Options) -> Result<(), Error> {
        if self.family == Family::V6 {
            self.address_changed = address(!options.run.cleanup_only)?;
        }
        if self.before == self.wanted && !options.run.force_apply {
            self.say("already");
            return Ok(());
        }
        self.change(options)?;
        self.verify()?;
        self.say("now");
        Ok(())
    }

    fn change(&mut self, options: &Options) -> Result<(), Error> {
        let Err(failure) = self.iptables.restore(&self.before.change_to(&self.wanted)) else {
            return Ok(());
        };
        // The kernel may lack what this kind of iptables needs, and have what the other does.
        if options.variant.is_none()
            && self.before.is_empty()
            && let Some((other, before)) = self.iptables.alternative(self.family, &failure)
            && other.restore(&before.change_to(&self.wanted)).is_ok()
        {
            (self.iptables, self.before) = (other, before);
            return Ok(());
        }
        Err(self.failed("change", failure))
    }

    fn verify(&self) -> Result<(), Error> {
        let found = self
            .iptables
            .state()
            .map_err(|failure| self.failed("verify", failure))?;
        match self.wanted.first_difference(&found) {
            None => Ok(()),
            Some(difference) => Err(Error::NotHeld {
                family: self.family,
                difference,
            }),
        }
    }

    /// The error to report once this family is as it was before.
    fn after_taking_back(&self, error: Error) -> Error {
        match self.take_back() {
            Ok(()) => error,
            Err(cause) => Error::Unfinished {
                error: Box::new(error),
                cause: Box::new(cause),
            },
        }
    }

    fn take_back(&self) -> Result<(), Error> {
        let now = self
            .iptables
            .state()
            .map_err(|failure| self.failed("read", failure))?;
        if now != self.before {
            let change = now.change_to(&self.before);
            self.iptables
                .restore(&change)
                .map_err(|failure| self.failed("restore", failure))?;
        }
        if self.address_changed {
            address(self.wanted.is_empty())?;
        }
        Ok(())
    }

    fn say(&self, when: &str) {
        let (family, program) = (self.family, self.iptables.program().display());
        let what = if self.wanted.is_empty() {
            "gone"
        } else {
            "in place"
        };
        report::info(&format!(
            "{family} packet rules are {what} {when} ({program})"
        ));
    }

    fn failed(&self, attempt: &'static str, failure: Failure) -> Error {
        Error::Iptables {
            attempt,
            family: self.family,
            failure,
        }
    }
}

/// Adds or removes the address that the proxy sends from. True if that changed something.
fn address(wanted: bool) -> Result<bool, Error> {
    let attempt = if wanted { "add" } else { "remove" };
    netlink::set_loopback_address(wanted).map_err(|cause| Error::Address { attempt, cause })
}
