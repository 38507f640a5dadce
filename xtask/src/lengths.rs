//! How long files are: a file that one cannot read at a sitting holds more than one idea.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::output;
use crate::workspace::Workspace;

/// Lines of a file, its inline tests not counted, from which on it has to be split.
const LIMIT: usize = 500;

/// Folders whose Rust files nobody reads: built or generated ones.
const SKIPPED: [&str; 3] = ["target", "generated", ".git"];

/// Reports the longest files.
///
/// # Errors
/// When one is longer than allowed.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut files = Vec::new();
    collect(&workspace.root, Path::new(""), &mut files)?;
    files.sort_by_key(|&(_, lines)| std::cmp::Reverse(lines));
    let rows: Vec<_> = files
        .iter()
        .take(5)
        .map(|(path, lines)| [path.display().to_string(), lines.to_string()])
        .collect();
    output::table(["LONGEST FILES", "LINES"], &rows);
    let long = files
        .iter()
        .take_while(|&&(_, lines)| lines > LIMIT)
        .count();
    if long > 0 {
        bail!("{long} files are longer than {LIMIT} lines without their tests: split them");
    }
    Ok(())
}

/// Adds the files below `folder` of `root`, each with its length.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, usize)>) -> Result<()> {
    let absolute = root.join(folder);
    let entries =
        fs::read_dir(&absolute).with_context(|| format!("Reading {}", absolute.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !SKIPPED.iter().any(|&skipped| entry.file_name() == skipped) {
                collect(root, &path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("Reading {}", entry.path().display()))?;
            files.push((path, length(&text)));
        }
    }
    Ok(())
}

/// Whether the file holds tests alone: `tests.rs`, or anything in the `tests` folder of a crate.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.iter().skip(1).any(|part| part == "tests")
}

/// Lines before the tests, which come last in a file.
fn length(text: &str) -> usize {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{is_test, length};

    #[test]
    fn inline_tests_do_not_count() {
        assert_eq!(length("one\ntwo\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    }

    #[test]
    fn the_crate_of_tests_is_code_too() {
        assert!(is_test(Path::new("proxy/tests/http.rs")));
        assert!(is_test(Path::new("webhook/src/patch/tests.rs")));
        assert!(!is_test(Path::new("tests/src/cluster.rs")));
    }
}
