//! Parameters in the path of the webhook's URL: `/inject/cluster/C/net/N/KEY/VALUE` sets environment
//! variables of the proxy (Istio's `istiodRemote.injectionPath`). An older form is
//! `/inject/:ENV:KEY=VALUE:ENV:KEY=VALUE`.

use std::collections::BTreeMap;

/// What comes before each pair of the older form.
const OLD_PAIR: &str = ":ENV:";
/// What stands for a slash inside a value.
const SLASH: &str = "--slash--";
const CLUSTER: &str = "ISTIO_META_CLUSTER_ID";
const NETWORK: &str = "ISTIO_META_NETWORK";

/// Environment variables of the proxy that the URL sets, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The variables.
    pub environment: BTreeMap<String, String>,
}

impl Parameters {
    /// Reads what follows `/inject/`. A key without a value is ignored, and so is a key that is no
    /// name of a variable.
    #[must_use]
    pub fn parse(path: &str) -> Self {
        let path = path.trim_matches('/');
        let environment = match path.strip_prefix(OLD_PAIR) {
            Some(pairs) => old_pairs(pairs),
            None => pairs(path),
        };
        Self { environment }
    }

    /// The network of the pods, if the URL names one.
    #[must_use]
    pub fn network(&self) -> Option<&str> {
        self.environment.get(NETWORK).map(String::as_str)
    }
}

fn pairs(path: &str) -> BTreeMap<String, String> {
    let segments: Vec<&str> = path.split('/').collect();
    let pairs = segments.chunks_exact(2).filter_map(|pair| match pair {
        [key, value] => Some((variable(key)?, value.replace(SLASH, "/"))),
        _ => None,
    });
    pairs.collect()
}

fn old_pairs(path: &str) -> BTreeMap<String, String> {
    let pairs = path.split(OLD_PAIR).filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((variable(key)?, value.to_owned()))
    });
    pairs.collect()
}

fn variable(key: &str) -> Option<String> {
    match key {
        "" => None,
        "cluster" => Some(CLUSTER.to_owned()),
        "net" => Some(NETWORK.to_owned()),
        _ => {
            let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            key.bytes().all(is_legal).then(|| key.to_ascii_uppercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pairs() {
        let read = |path| {
            Parameters::parse(path)
                .environment
                .into_iter()
                .collect::<Vec<_>>()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read(""), []);
        assert_eq!(read("/"), []);
        assert_eq!(
            read("cluster/c1/net/n--slash--1/foo/bar/"),
            [
                pair("FOO", "bar"),
                pair(CLUSTER, "c1"),
                pair(NETWORK, "n/1")
            ]
        );
        assert_eq!(read("net/n1/odd"), [pair(NETWORK, "n1")]);
        assert_eq!(read("a=b/c"), []);
        assert_eq!(
            read(":ENV:net=n/1:ENV:cluster=:ENV:=x:ENV:y"),
            [pair(CLUSTER, ""), pair(NETWORK, "n/1")]
        );
    }
}
