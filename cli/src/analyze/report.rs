//! The messages of an analysis, without those that somebody does not want to hear.

use std::fmt;

use kube::ResourceExt;
use serde::{Serialize, Serializer};

use super::code::Code;
use super::resource::{Origin, Resource};
use super::suppression::Suppression;
use crate::level::Level;

/// Annotation of an object with the codes, or `*`, that are not told of it.
const SUPPRESSED: &str = "galley.istio.io/analyze-suppress";

/// Where Istio explains its codes.
const DOCUMENTATION: &str = "https://istio.io/latest/docs/reference/config/analysis";

/// What is suspicious, and about what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    code: &'static Code,
    origin: Origin,
    text: String,
}

/// What is told of all that is found.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Of a cluster only what is in this namespace or in none, and the namespace itself.
    pub(super) namespace: Option<String>,
    pub(super) suppressions: Vec<Suppression>,
}

/// Collects messages.
#[derive(Clone, Debug)]
pub(super) struct Report {
    filter: Filter,
    messages: Vec<Message>,
}

impl Report {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            messages: Vec::new(),
        }
    }

    /// Tells something of an object, unless nobody wants to hear it.
    pub(super) fn add<K: kube::Resource>(
        &mut self,
        about: &Resource<K>,
        code: &'static Code,
        text: impl Into<String>,
    ) {
        let suppressed = about.object.annotations().get(SUPPRESSED);
        let mut codes = suppressed.iter().flat_map(|codes| codes.split(','));
        let is_suppressed = codes.any(|suppressed| ["*", code.name].contains(&suppressed.trim()));
        if !is_suppressed && self.filter.lets_pass(&about.origin, code) {
            self.messages.push(Message {
                code,
                origin: about.origin.clone(),
                text: text.into(),
            });
        }
    }

    /// The messages, each once, the worst first.
    pub(super) fn finish(mut self) -> Vec<Message> {
        self.messages.sort_by(|one, other| {
            let by_level = other.level().cmp(&one.level());
            by_level.then_with(|| one.cmp(other))
        });
        self.messages.dedup();
        self.messages
    }
}

impl Filter {
    fn lets_pass(&self, origin: &Origin, code: &Code) -> bool {
        let place = match origin.kind.as_str() {
            "Namespace" => Some(&origin.name),
            _ => origin.namespace.as_ref(),
        };
        let is_elsewhere = origin.reference.is_none()
            && matches!((&self.namespace, place),
                (Some(wanted), Some(place)) if wanted != place);
        let mut suppressions = self.suppressions.iter();
        !is_elsewhere && !suppressions.any(|suppression| suppression.covers(origin, code.name))
    }
}

impl Message {
    pub(super) fn level(&self) -> Level {
        self.code.level
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, origin, text } = self;
        write!(formatter, "{} [{}] ({origin}", code.level, code.name)?;
        if let Some(reference) = &origin.reference {
            write!(formatter, " {reference}")?;
        }
        write!(formatter, ") {text}")
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// With `istioctl`'s names.
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields<'a> {
            code: &'a str,
            documentation_url: String,
            level: Level,
            message: &'a str,
            origin: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            reference: Option<&'a str>,
        }
        let code = self.code.name;
        Fields {
            code,
            documentation_url: format!("{DOCUMENTATION}/{}/", code.to_lowercase()),
            level: self.level(),
            message: &self.text,
            origin: self.origin.to_string(),
            reference: self.origin.reference.as_deref(),
        }
        .serialize(serializer)
    }
}
