//! The step that changes rules, whatever holds them.

use super::step::Step;
use crate::Error;
use crate::family::Family;
use crate::iptables::{self, Failure, Iptables};
use crate::nftables::{self, Nftables};
use crate::report;

/// What holds rules of ours, and reads and changes them as one.
pub(super) trait Holder {
    /// Our rules.
    type State: Default + PartialEq;

    /// Our rules as they are now.
    ///
    /// # Errors
    /// When they cannot be read.
    fn state(&self, attempt: &'static str) -> Result<Self::State, Error>;

    /// Changes our rules from what they are to what is wanted.
    ///
    /// # Errors
    /// When nothing was changed.
    fn change(&mut self, before: &mut Self::State, wanted: &Self::State) -> Result<(), Error>;

    /// The error for rules that are not what they should be, if they are not.
    ///
    /// # Errors
    /// That one.
    fn compare(&self, wanted: &Self::State, found: &Self::State) -> Result<(), Error>;

    /// Whose rules it holds, and how it does that.
    fn names(&self) -> (String, String);
}

/// Our rules in one place: what they were before this run, and what they should be after it.
pub(super) struct Rules<H: Holder> {
    holder: H,
    before: H::State,
    wanted: H::State,
    /// Whether they are made anew even if they are right.
    forced: bool,
}

impl<H: Holder> Rules<H> {
    pub(super) fn new(holder: H, before: H::State, wanted: H::State, forced: bool) -> Self {
        Self {
            holder,
            before,
            wanted,
            forced,
        }
    }

    fn say(&self, when: &str) {
        let (whose, how) = self.holder.names();
        let gone = self.wanted == H::State::default();
        let what = if gone { "gone" } else { "in place" };
        report::info(&format!("{whose} packet rules are {what} {when} ({how})"));
    }
}

impl<H: Holder> Step for Rules<H> {
    fn bring_about(&mut self) -> Result<(), Error> {
        if self.before == self.wanted && !self.forced {
            self.say("already");
            return Ok(());
        }
        self.holder.change(&mut self.before, &self.wanted)?;
        let found = self.holder.state("verify")?;
        self.holder.compare(&self.wanted, &found)?;
        self.say("now");
        Ok(())
    }

    fn take_back(&mut self) -> Result<(), Error> {
        let mut now = self.holder.state("read")?;
        if now == self.before {
            return Ok(());
        }
        self.holder.change(&mut now, &self.before)
    }
}

/// One family's rules in one kind of iptables.
pub(super) struct IptablesRules {
    pub(super) family: Family,
    pub(super) iptables: Iptables,
    /// Whether the other kind may be used if this one cannot.
    pub(super) flexible: bool,
}

impl IptablesRules {
    fn failed(&self, attempt: &'static str, failure: Failure) -> Error {
        Error::Iptables {
            attempt,
            family: self.family,
            failure,
        }
    }
}

impl Holder for IptablesRules {
    type State = iptables::State;

    fn state(&self, attempt: &'static str) -> Result<Self::State, Error> {
        let state = self.iptables.state();
        state.map_err(|failure| self.failed(attempt, failure))
    }

    fn change(&mut self, before: &mut Self::State, wanted: &Self::State) -> Result<(), Error> {
        let Err(failure) = self.iptables.restore(&before.change_to(wanted)) else {
            return Ok(());
        };
        // The kernel may lack what this kind of iptables needs, and have what the other does.
        if self.flexible
            && before.is_empty()
            && let Some((other, found)) = self.iptables.alternative(self.family, &failure)
            && other.restore(&found.change_to(wanted)).is_ok()
        {
            (self.iptables, *before) = (other, found);
            return Ok(());
        }
        Err(self.failed("change", failure))
    }

    fn compare(&self, wanted: &Self::State, found: &Self::State) -> Result<(), Error> {
        not_held(Some(self.family), wanted.first_difference(found))
    }

    fn names(&self) -> (String, String) {
        let program = self.iptables.program().display().to_string();
        (self.family.to_string(), program)
    }
}

impl Holder for Nftables {
    type State = nftables::State;

    fn state(&self, attempt: &'static str) -> Result<Self::State, Error> {
        let state = Self::state(self);
        state.map_err(|failure| Error::Nftables { attempt, failure })
    }

    fn change(&mut self, _: &mut Self::State, wanted: &Self::State) -> Result<(), Error> {
        let attempt = "change";
        let changed = self.change_to(wanted);
        changed.map_err(|failure| Error::Nftables { attempt, failure })
    }

    fn compare(&self, wanted: &Self::State, found: &Self::State) -> Result<(), Error> {
        not_held(None, wanted.first_difference(found))
    }

    fn names(&self) -> (String, String) {
        ("All".to_owned(), "nf_tables".to_owned())
    }
}

fn not_held(family: Option<Family>, difference: Option<String>) -> Result<(), Error> {
    match difference {
        None => Ok(()),
        Some(difference) => Err(Error::NotHeld { family, difference }),
    }
}
