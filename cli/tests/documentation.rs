//! Every command that the documentation tells people to type is one that the command line has.

use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;
use lateenctl::arguments::Arguments;

#[test]
fn commands_of_the_documentation_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = std::fs::read_dir(root.join("docs")).expect("the folder docs");
    let pages = pages.map(|page| page.expect("a page").path());
    let mut found = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).expect("a page is text");
        for command in commands(&text) {
            found += 1;
            if let Err(error) = Arguments::try_parse_from(words(command)) {
                let is_only_named = matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                );
                assert!(is_only_named, "{}: {command}: {error}", page.display());
            }
        }
    }
    assert!(found > 30, "only {found} commands were found");
}

/// The commands in blocks and in the midst of sentences, without what the shell does with them.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let begins = text.match_indices("lateenctl ");
    let typed = begins.filter(|(start, _)| {
        let before = text.get(..*start).unwrap_or_default();
        before.ends_with(['`', '\n']) || before.ends_with("| ")
    });
    typed.filter_map(|(start, _)| {
        let rest = text.get(start..)?;
        rest.split(['`', '\n', '#', '|', '>']).next()
    })
}

/// The words of a command. Those in capitals, but for flags, stand for something of the reader's.
fn words(command: &str) -> impl Iterator<Item = String> {
    let is_placeholder =
        |word: &str| !word.starts_with('-') && word.chars().all(|letter| !letter.is_lowercase());
    command.split_whitespace().map(move |word| {
        if is_placeholder(word) {
            word.to_lowercase()
        } else {
            word.to_owned()
        }
    })
}
