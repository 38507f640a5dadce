//! Names of images: `HUB/IMAGE:TAG`, where the tag may carry the image's type (Istio's
//! `imageType`, `variant`).

/// Types that a tag may end with; any other ending is part of the version.
const KNOWN_TYPES: [&str; 2] = ["distroless", "debug"];

/// The image of a type that means "no suffix".
const PLAIN: &str = "default";

/// The reference of an image: a name below the hub, or a whole reference if it holds a `/`.
pub(crate) fn reference(hub: &str, name: &str, tag: &str, image_type: &str) -> String {
    if name.contains('/') {
        return with_type(name, image_type);
    }
    let hub = hub.trim_end_matches('/');
    with_type(&format!("{hub}/{name}:{tag}"), image_type)
}

/// The reference with the type as suffix of its tag. A reference without tag, or by digest, has no
/// place for one.
fn with_type(reference: &str, image_type: &str) -> String {
    let last_segment = reference.rsplit('/').next().unwrap_or(reference);
    if image_type.is_empty() || !last_segment.contains(':') || last_segment.contains('@') {
        return reference.to_owned();
    }
    let plain = KNOWN_TYPES
        .iter()
        .find_map(|known| reference.strip_suffix(known)?.strip_suffix('-'))
        .unwrap_or(reference);
    if image_type == PLAIN {
        plain.to_owned()
    } else {
        format!("{plain}-{image_type}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_images() {
        let cases = [
            (("hub", "proxyv2", "1.0", ""), "hub/proxyv2:1.0"),
            (("hub/", "proxyv2", "1.0", "debug"), "hub/proxyv2:1.0-debug"),
            (
                ("hub", "proxyv2", "1.0-debug", "distroless"),
                "hub/proxyv2:1.0-distroless",
            ),
            (
                ("hub", "proxyv2", "1.0-debug", "default"),
                "hub/proxyv2:1.0",
            ),
            (
                ("hub", "proxyv2", "1.0-rc", "default"),
                "hub/proxyv2:1.0-rc",
            ),
            (
                ("hub", "my:5000/x/proxy:2", "1.0", "debug"),
                "my:5000/x/proxy:2-debug",
            ),
            (
                ("hub", "my:5000/x/proxy", "1.0", "debug"),
                "my:5000/x/proxy",
            ),
            (
                ("hub", "x/proxy@sha256:abc", "1.0", "debug"),
                "x/proxy@sha256:abc",
            ),
        ];
        for ((hub, name, tag, image_type), expected) in cases {
            assert_eq!(reference(hub, name, tag, image_type), expected);
        }
    }
}
