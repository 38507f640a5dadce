//! The documents of a text of manifests, taken apart as `kubectl` does: at lines that begin with
//! `---`. What needs no change can so be passed on as it is, with its comments.

use serde_json::Value;

/// What separates documents, at the beginning of a line.
pub(super) const SEPARATOR: &str = "---";
/// What some editors on Windows begin a file with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its text, without separators.
    pub(super) text: &'a str,
    line: usize,
}

/// All documents but those with nothing in them, not even a comment.
#[must_use]
pub fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut end, mut first_line) = (0, 0, 1);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let length = line.len();
        let begins_first = text.get(..end).is_some_and(is_preamble);
        if let Some(rest) = after_separator(line).filter(|_| !begins_first) {
            documents.push((start..end, first_line));
            // What stands behind the separator is part of the next document.
            let is_alone = rest.trim().is_empty();
            start = end + if is_alone { length } else { SEPARATOR.len() };
            first_line = index + if is_alone { 2 } else { 1 };
        }
        end += length;
    }
    documents.push((start..end, first_line));
    documents
        .into_iter()
        .filter_map(|(range, line)| Some((text.get(range)?, line)))
        .filter(|(text, _)| !text.trim().is_empty())
        .map(|(text, line)| Document { text, line })
        .collect()
}

/// What follows the separator in a line that begins with one.
fn after_separator(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(SEPARATOR)?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
}

/// Whether a text is what may stand before the first document and is part of it: directives such as
/// `%YAML 1.2`, and comments among them.
fn is_preamble(text: &str) -> bool {
    let is_directive = |line: &str| line.starts_with('%');
    let is_empty = |line: &str| line.trim().is_empty() || line.starts_with('#');
    text.lines()
        .all(|line| is_directive(line) || is_empty(line))
        && text.lines().any(is_directive)
}

impl Document<'_> {
    /// The line where it begins, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What the text says; nothing but comments is null. Numbers with a leading zero are octal, as
    /// they are for `kubectl`: people write modes of files so. A text may be as long as it likes: it
    /// is the user's own.
    ///
    /// # Errors
    /// When the text is neither YAML nor JSON.
    pub fn parse(&self) -> Result<Value, String> {
        let options = serde_saphyr::options! { legacy_octal_numbers: true, budget: None };
        let parsed: Result<Option<Value>, _> =
            serde_saphyr::from_str_with_options(self.text, options);
        parsed
            .map(Option::unwrap_or_default)
            .map_err(|error| match self.line {
                1 => error.to_string(),
                line => format!("lines counted from line {line}: {error}"),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(&str, usize)> {
        let documents = split(text).into_iter();
        documents
            .map(|document| (document.text, document.line))
            .collect()
    }

    #[test]
    fn documents_are_what_is_between_separators() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &[("a", 1)]),
            ("---\n\n---\r\n  \n", &[]),
            ("a\n---\nb\n", &[("a\n", 1), ("b\n", 3)]),
            ("\u{feff}---\r\na\r\n--- \r\nb", &[("a\r\n", 2), ("b", 4)]),
            ("# a\n--- # b\nc\n---", &[("# a\n", 1), (" # b\nc\n", 2)]),
            ("--- {a: 1}\n---- b\n", &[(" {a: 1}\n---- b\n", 1)]),
            ("a: |\n  x\n  ---\n  y\n", &[("a: |\n  x\n  ---\n  y\n", 1)]),
            (
                "# a\n%YAML 1.2\n---\nb\n---\nc\n",
                &[("# a\n%YAML 1.2\n---\nb\n", 1), ("c\n", 6)],
            ),
        ] {
            assert_eq!(texts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn directives_are_part_of_the_first_document() {
        let documents = split("%YAML 1.2\n%TAG ! !\n---\na: 1\n---\nb: 2\n");
        let parsed: Vec<Value> = documents
            .iter()
            .map(|document| document.parse().unwrap())
            .collect();
        assert_eq!(
            parsed,
            [serde_json::json!({"a": 1}), serde_json::json!({"b": 2})]
        );
    }

    #[test]
    fn long_lists_are_read() {
        let text = format!("items: [{}]", "a, ".repeat(300_000));
        let document = split(&text)[0].parse().unwrap();
        assert_eq!(document["items"].as_array().unwrap().len(), 300_000);
    }

    #[test]
    fn errors_say_where_the_document_begins() {
        let error = |text| split(text).last().unwrap().parse().unwrap_err();
        assert!(!error("a: [").contains("counted"));
        assert!(error("a: 1\n---\nb: [").starts_with("lines counted from line 3: "));
    }

    #[test]
    fn numbers_are_what_they_are_for_kubectl() {
        let [document] = split("{a: 0644, b: 0o644, c: 0, d: '0644', e: yes, f: 10}")[..] else {
            panic!("one document");
        };
        let expected =
            serde_json::json!({"a": 420, "b": 420, "c": 0, "d": "0644", "e": true, "f": 10});
        assert_eq!(document.parse(), Ok(expected));
    }
}
