//! Flags of `tag`.

use clap::{Args, Subcommand};
use lateen_wire::Revision;

use super::OutputFlags;

const SET_EXAMPLES: &str = "Examples:
  # Make namespaces with the label istio.io/rev=prod mean revision 1-2-0
  lateenctl tag set prod --revision 1-2-0

  # Move them to revision 1-2-1; pods follow when they are made anew
  lateenctl tag set prod --revision 1-2-1 --overwrite

  # Let the label istio-injection=enabled mean revision 1-2-1
  lateenctl tag set default --revision 1-2-1";

const GENERATE_EXAMPLES: &str = "Examples:
  # Keep a tag among other manifests
  lateenctl tag generate prod --revision 1-2-0 > tag.yaml";

const LIST_EXAMPLES: &str = "Examples:
  # All tags, and the namespaces that use them
  lateenctl tag list

  # For programs
  lateenctl tag list -o json";

const REMOVE_EXAMPLES: &str = "Examples:
  # Remove a tag that no namespace uses any more
  lateenctl tag remove prod";

/// What to do with revision tags.
#[derive(Debug, Subcommand)]
pub enum Tag {
    /// Make a tag, or let it lead to another revision
    #[command(after_help = SET_EXAMPLES, visible_alias = "create")]
    Set(SetTag),
    /// Print the objects of a tag, which then can be applied
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(SetTag),
    /// List the tags
    #[command(after_help = LIST_EXAMPLES, visible_alias = "show")]
    List(ListTags),
    /// Remove a tag
    #[command(after_help = REMOVE_EXAMPLES, visible_alias = "delete")]
    Remove(RemoveTag),
}

/// Flags of `tag set` and `tag generate`.
#[derive(Debug, Args)]
pub struct SetTag {
    /// Name of the tag; default takes over from the revision without a name
    #[arg(value_name = "TAG", value_parser = tag_name)]
    pub tag: String,
    /// Revision that the tag leads to
    #[arg(short = 'r', long)]
    pub revision: Revision,
    /// Let a tag that exists lead to another revision
    #[arg(long)]
    pub overwrite: bool,
    /// Inject namespaces without a label too; only with the tag default
    #[arg(long)]
    pub auto_inject_namespaces: bool,
    /// Name of the tag's webhook configuration [default: istio-revision-tag-TAG]
    #[arg(long, value_name = "NAME")]
    pub webhook_name: Option<String>,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub skip_confirmation: bool,
}

/// Flags of `tag list`.
#[derive(Debug, Args)]
pub struct ListTags {
    /// Form of the answer.
    #[command(flatten)]
    pub output: OutputFlags,
}

/// Flags of `tag remove`.
#[derive(Debug, Args)]
pub struct RemoveTag {
    /// Name of the tag
    #[arg(value_name = "TAG", value_parser = tag_name)]
    pub tag: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub skip_confirmation: bool,
}

/// Tags and revisions share a label, and so what they may be called.
fn tag_name(text: &str) -> Result<String, String> {
    let name: Revision = text.parse().map_err(|_| {
        "a tag is a DNS label of at most 40 lower-case letters, digits and dashes".to_owned()
    })?;
    Ok(name.as_str().to_owned())
}
