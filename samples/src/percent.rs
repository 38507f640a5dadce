//! Percent-encoding (RFC 3986, section 2.1) and the pairs of queries and HTML forms.

/// A text in which only letters, digits and `-_.` stand for themselves.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

/// The text behind an encoded one, if it is one.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The names and values of `a=1&b=2`, in order; pairs that cannot be decoded are left out.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let spaced = |text: &str| decode(&text.replace('+', " "));
            Some((spaced(name)?, spaced(value)?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_nothing_broken() {
        for text in ["jason", "Zoë O'Hara", "50%; a=b", "名前", ""] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "%FF", "a%é"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn reads_forms() {
        let read: Vec<_> = pairs("a=1+2&b&c=%26&%=x&&a=3").collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read,
            [
                pair("a", "1 2"),
                pair("b", ""),
                pair("c", "&"),
                pair("a", "3")
            ]
        );
    }
}
