//! Users and groups on OpenShift (`global.platform: openshift`), which gives each namespace a range of
//! its own in annotations and lets pods run as no others: applications run as the first of a range,
//! proxies as the last.

use std::collections::{BTreeMap, HashMap};

use lateen_wire::names;

/// What `global.platform` calls it.
pub const PLATFORM: &str = "openshift";
/// Annotation of a namespace with its users: `FIRST/COUNT` or `FIRST-LAST`.
const USERS: &str = "openshift.io/sa.scc.uid-range";
/// Annotation of a namespace with its groups: such ranges with commas between. Without it the groups
/// have the numbers of the users.
const GROUPS: &str = "openshift.io/sa.scc.supplemental-groups";

/// Whom proxies run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyIdentity {
    pub(crate) user: i64,
    pub(crate) group: i64,
}

impl Default for ProxyIdentity {
    fn default() -> Self {
        let usual = i64::from(names::PROXY_UID);
        Self {
            user: usual,
            group: usual,
        }
    }
}

impl ProxyIdentity {
    /// The identity that a namespace's annotations allow; the usual one where they say nothing.
    fn of(annotations: &BTreeMap<String, String>) -> Self {
        let users = annotations.get(USERS);
        let groups = annotations.get(GROUPS).or(users);
        let usual = Self::default();
        Self {
            user: users.and_then(|range| last(range)).unwrap_or(usual.user),
            group: groups
                .and_then(|ranges| last(ranges.split(',').next()?))
                .unwrap_or(usual.group),
        }
    }
}

/// The last number of a range.
fn last(range: &str) -> Option<i64> {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let last = if let Some((first, count)) = range.split_once('/') {
        number(first)?.checked_add(number(count)?.checked_sub(1)?)?
    } else {
        let (first, last) = range.split_once('-')?;
        number(last).filter(|last| number(first).is_some_and(|first| first <= *last))?
    };
    Some(i64::from(last))
}

/// Whom proxies run as in each namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces(HashMap<String, ProxyIdentity>);

impl Namespaces {
    /// Notes the annotations of a namespace; answers whether that makes a difference.
    pub fn note(&mut self, namespace: &str, annotations: &BTreeMap<String, String>) -> bool {
        let identity = ProxyIdentity::of(annotations);
        self.0.insert(namespace.to_owned(), identity) != Some(identity)
    }

    /// Forgets a namespace; answers whether it was known.
    pub fn forget(&mut self, namespace: &str) -> bool {
        self.0.remove(namespace).is_some()
    }

    /// Whom proxies run as in a namespace.
    pub(crate) fn identity_in(&self, namespace: &str) -> ProxyIdentity {
        self.0.get(namespace).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_run_as_the_last_of_each_range() {
        let usual = (1337, 1337);
        let cases = [
            (None, None, usual),
            (
                Some("1000620000/10000"),
                None,
                (1_000_629_999, 1_000_629_999),
            ),
            (Some("2000-2999"), None, (2999, 2999)),
            (Some("2000-2999"), Some("5/2,900/9"), (2999, 6)),
            (None, Some("5/2"), (1337, 6)),
            (Some("all"), Some(""), usual),
            (Some("4294967295/2"), Some("9-8"), usual),
        ];
        for (users, groups, expected) in cases {
            let annotations = [(USERS, users), (GROUPS, groups)].into_iter();
            let text =
                |(key, value): (&str, Option<&str>)| Some((key.to_owned(), value?.to_owned()));
            let annotations = annotations.filter_map(text).collect();
            let mut namespaces = Namespaces::default();
            namespaces.note("shop", &annotations);
            let ProxyIdentity { user, group } = namespaces.identity_in("shop");
            assert_eq!((user, group), expected, "{users:?} {groups:?}");
            namespaces.forget("shop");
            assert_eq!(namespaces.identity_in("shop"), ProxyIdentity::default());
        }
    }
}
