//! Switches in the environment and in annotations, as Go spells them.

/// Whether a switch is on, in the spellings of Go's `strconv.ParseBool`, which Istio reads truth values with.
/// None for any other text.
#[must_use]
pub fn parse(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_those_of_go() {
        for (text, on) in [
            ("1", Some(true)),
            ("t", Some(true)),
            ("T", Some(true)),
            ("true", Some(true)),
            ("TRUE", Some(true)),
            ("True", Some(true)),
            ("0", Some(false)),
            ("f", Some(false)),
            ("F", Some(false)),
            ("false", Some(false)),
            ("FALSE", Some(false)),
            ("False", Some(false)),
            ("", None),
            ("tRUE", None),
            ("yes", None),
            (" true", None),
        ] {
            assert_eq!(parse(text), on, "{text:?}");
        }
    }
}
