//! Which images there are, what is in them, and under which names they are known.

use super::debian::Selection;
use super::selections::{CURL, IPTABLES, REDIS};

/// What an image's Dockerfile finds in its context.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// A program of ours, under its own name.
    Program(&'static str),
    /// Programs of Debian in a folder of the selection's name.
    Debian(&'static Selection),
    /// The load generator.
    Fortio,
}

/// An image to build.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The last part of the image's name, and its stage in the Dockerfile.
    pub(crate) name: &'static str,
    /// The folder in `images/` with its Dockerfile.
    pub(crate) folder: &'static str,
    /// What the Dockerfile copies.
    pub(crate) contents: &'static [Content],
    /// Names and tags of other projects' images that this one stands in for.
    pub(crate) aliases: Vec<String>,
}

impl Image {
    /// The file that says how to build the image, relative to the checkout.
    pub(crate) fn dockerfile(&self) -> String {
        format!("images/{}/Dockerfile", self.folder)
    }
}

/// The tag of the samples' images, which follows the version of Bookinfo that they work like.
pub(crate) const SAMPLES_TAG: &str = "1.20.3";

/// Istio's domain.
const ISTIO: &str = "istio.io";

/// The tags that Bookinfo's images had in the releases of Istio, so that their manifests run.
const ISTIO_TAGS: [&str; 8] = [
    "1.20.3", "1.20.2", "1.20.1", "1.19.1", "1.18.0", "1.17.0", "1.16.4", "1.16.2",
];

/// The images of httpbin that manifests ask for, which listen where ours does.
const HTTPBIN: [&str; 2] = [
    "mccutchen/go-httpbin:latest",
    "mccutchen/go-httpbin:v2.15.0",
];

/// The images of curl that manifests ask for, to run `sleep` in and call `curl` from.
const CURLIMAGES: [&str; 2] = ["curlimages/curl:latest", "curlimages/curl:8.16.0"];

/// The images that `lateenctl install` asks for, and the one that tests run in pods. They share
/// the tag of the build.
pub(crate) fn mesh() -> Vec<Image> {
    use Content::{Debian, Program};
    let image = |name, contents| Image {
        name,
        folder: name,
        contents,
        aliases: Vec::new(),
    };
    vec![
        image(
            "proxyv2",
            &[
                Program("lateen-proxy"),
                Program("lateen-init"),
                Debian(&IPTABLES),
            ],
        ),
        image("pilot", &[Program("lateen-control")]),
        image("injector", &[Program("lateen-webhook")]),
        image("samples", &[Program("lateen-samples")]),
    ]
}

/// The images of the manifests in `samples/`, which name them by version, and of other people's.
pub(crate) fn samples() -> Vec<Image> {
    let sample = |name, aliases| Image {
        name,
        folder: "samples",
        contents: &[Content::Program("lateen-samples"), Content::Debian(&CURL)],
        aliases,
    };
    let bookinfo = |name: &'static str| {
        // The hubs of Istio's releases, before and since they have a registry of their own.
        let hubs = ["istio".to_owned(), format!("registry.{ISTIO}/release")];
        let names = hubs.map(|hub| ISTIO_TAGS.map(|tag| format!("{hub}/{name}:{tag}")));
        sample(name, names.concat())
    };
    vec![
        bookinfo("examples-bookinfo-productpage-v1"),
        bookinfo("examples-bookinfo-details-v1"),
        bookinfo("examples-bookinfo-reviews-v1"),
        bookinfo("examples-bookinfo-reviews-v2"),
        bookinfo("examples-bookinfo-reviews-v3"),
        bookinfo("examples-bookinfo-ratings-v1"),
        sample("curl", CURLIMAGES.map(str::to_owned).to_vec()),
        sample("httpbin", HTTPBIN.map(str::to_owned).to_vec()),
        Image {
            name: "fortio",
            folder: "fortio",
            contents: &[Content::Fortio],
            aliases: vec!["fortio/fortio:latest_release".to_owned()],
        },
        Image {
            name: "redis",
            folder: "redis",
            contents: &[Content::Debian(&REDIS)],
            // As in the manifests of Google's microservices-demo.
            aliases: vec!["redis:alpine".to_owned()],
        },
    ]
}
