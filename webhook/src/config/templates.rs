//! Injection templates: keys `templates`, `aliases` and `defaultTemplates` of ConfigMap
//! `istio-sidecar-injector`, and annotation `inject.istio.io/templates`, which chooses among them.
//!
//! The templates of Istio that Lateen has are built in. Any other is an [`Overlay`].

use std::collections::BTreeMap;

use serde_json::Value;

use lateen_api::Error;

use super::overlay::Overlay;
use super::policy::SOURCE;

/// A template that is part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// A proxy beside an application.
    Sidecar,
    /// A proxy by itself, at the edge of the mesh.
    Gateway,
}

impl BuiltIn {
    const ALL: [Self; 2] = [Self::Sidecar, Self::Gateway];

    /// The name that pods and configurations use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Gateway => "gateway",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Templates of Istio that come with its charts and that Lateen does not have.
const OTHERS: [&str; 6] = [
    "grpc-simple",
    "grpc-agent",
    "waypoint",
    "kube-gateway",
    "agentgateway",
    "agentgateway-waypoint",
];

/// The templates of an installation.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    custom: BTreeMap<String, Overlay>,
    aliases: BTreeMap<String, Vec<String>>,
    defaults: Selection,
}

/// The keys of the configuration that are about templates.
pub(super) struct Document {
    pub(super) default_templates: Vec<String>,
    pub(super) templates: BTreeMap<String, Value>,
    pub(super) aliases: BTreeMap<String, Vec<String>>,
}

/// What one pod gets: templates that are laid over one another in the order of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selection {
    /// Custom templates that the built-in one is laid over.
    pub(crate) below: Vec<Overlay>,
    /// The built-in template.
    pub(crate) base: Option<BuiltIn>,
    /// Custom templates that are laid over the built-in one.
    pub(crate) above: Vec<Overlay>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            below: Vec::new(),
            base: Some(BuiltIn::Sidecar),
            above: Vec::new(),
        }
    }
}

impl Selection {
    /// Whether there is a custom template.
    pub(crate) fn is_custom(&self) -> bool {
        !self.below.is_empty() || !self.above.is_empty()
    }
}

impl Templates {
    /// Checks the templates. Returned beside them: one sentence for everything without effect.
    pub(super) fn parse(document: Document) -> Result<(Self, Vec<String>), Error> {
        let mut notices = Vec::new();
        let mut templates = Self::default();
        for (name, value) in document.templates {
            if BuiltIn::named(&name).is_some() || OTHERS.contains(&name.as_str()) {
                // Istio's charts always write all of their Go templates.
                notices.push(format!(
                    "templates.{name}: no effect, Istio's templates are built in"
                ));
                continue;
            }
            let (overlay, unknown) = Overlay::parse(&name, &value)?;
            let notice = |field| format!("templates.{name}.{field}: unknown field");
            notices.extend(unknown.into_iter().map(notice));
            templates.custom.insert(name, overlay);
        }
        for (alias, names) in document.aliases {
            if let Some(missing) = names.iter().find(|name| !templates.knows(name)) {
                if !OTHERS.contains(&missing.as_str()) {
                    return Err(templates.unknown(&format!("aliases.{alias}"), missing));
                }
                notices.push(format!(
                    "aliases.{alias}: no effect, there is no template {missing} yet"
                ));
                continue;
            }
            templates.aliases.insert(alias, names);
        }
        if !document.default_templates.is_empty() {
            let list = document.default_templates.join(",");
            let selected = templates.select(&list);
            templates.defaults = selected.map_err(|allowed| Error::Field {
                kind: SOURCE,
                path: "defaultTemplates".to_owned(),
                reason: format!("{list:?} is not {allowed}"),
            })?;
        }
        Ok((templates, notices))
    }

    /// What pods get that name no templates.
    pub(crate) const fn defaults(&self) -> &Selection {
        &self.defaults
    }

    /// The templates in a list with commas between. Aliases are replaced once. An error says what is
    /// allowed.
    pub(crate) fn select(&self, list: &str) -> Result<Selection, String> {
        let mut selection = Selection {
            below: Vec::new(),
            base: None,
            above: Vec::new(),
        };
        let names = list.split(',').map(str::trim);
        for name in names.flat_map(|name| self.resolve(name)) {
            match (BuiltIn::named(name), selection.base) {
                (Some(other), Some(base)) if other != base => {
                    return Err(format!(
                        "a list with {} or {}, not both",
                        base.name(),
                        other.name()
                    ));
                }
                (Some(base), _) => {
                    selection.base = Some(base);
                    // Named once more, it is laid over what came in between.
                    selection.below.append(&mut selection.above);
                }
                (None, base) => {
                    let overlay = self.custom.get(name).ok_or_else(|| self.allowed())?;
                    let place = if base.is_none() {
                        &mut selection.below
                    } else {
                        &mut selection.above
                    };
                    place.push(overlay.clone());
                }
            }
        }
        Ok(selection)
    }

    fn resolve<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        match self.aliases.get(name) {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => vec![name],
        }
    }

    fn knows(&self, name: &str) -> bool {
        BuiltIn::named(name).is_some() || self.custom.contains_key(name)
    }

    fn allowed(&self) -> String {
        let built_in = BuiltIn::ALL.iter().map(|known| known.name());
        let custom = self.custom.keys().chain(self.aliases.keys());
        let known: Vec<&str> = built_in.chain(custom.map(String::as_str)).collect();
        let known = known.join(", ");
        format!("a comma-separated list of known templates, which are: {known}")
    }

    fn unknown(&self, path: &str, name: &str) -> Error {
        Error::Field {
            kind: SOURCE,
            path: path.to_owned(),
            reason: format!("{name:?} is not {}", self.allowed()),
        }
    }
}

#[cfg(test)]
mod tests;
