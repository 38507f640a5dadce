//! Handshakes between peers with right and wrong certificates.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::duplex;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, identity: &str, from: SystemTime, to: SystemTime) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.not_before = from.into();
        params.not_after = to.into();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued::new(
            &[leaf, self.pem.clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            Roots::from_pem(self.pem.as_bytes()).unwrap(),
            Arc::new(ArcSwap::from_pointee(vec!["cluster.local".to_owned()])),
        )
        .unwrap()
    }

    fn live(&self, identity: &str) -> Issued {
        let now = SystemTime::now();
        self.issue(
            identity,
            now - Duration::from_secs(60),
            now + Duration::from_secs(3600),
        )
    }
}

const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/client";
const SERVER: &str = "spiffe://cluster.local/ns/default/sa/server";

/// What client and server say at the end of the handshake.
async fn shake(
    client: &Issued,
    server: &Issued,
    expected: &str,
) -> (Result<(), String>, Result<(), String>) {
    let (near, far) = duplex(16 * 1_024);
    let config = client
        .client_config(&expected.parse().unwrap(), Alpn::Http1)
        .unwrap();
    let name = server_name::of_service("server.default.svc.cluster.local", 80);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, near);
    let accepting = TlsAcceptor::from(server.server_config()).accept(far);
    let (connected, accepted) = tokio::join!(connecting, accepting);
    (
        connected.map(drop).map_err(|e| e.to_string()),
        accepted.map(drop).map_err(|e| e.to_string()),
    )
}

#[tokio::test]
async fn peers_of_the_mesh_shake_hands() {
    let authority = Authority::new("one");
    let (client, server) = (authority.live(CLIENT), authority.live(SERVER));
    let (connected, accepted) = shake(&client, &server, SERVER).await;
    connected.unwrap();
    accepted.unwrap();
}

#[tokio::test]
async fn the_client_refuses_a_valid_certificate_of_somebody_else() {
    let authority = Authority::new("one");
    let (client, server) = (authority.live(CLIENT), authority.live(CLIENT));
    let (connected, accepted) = shake(&client, &server, SERVER).await;
    assert!(
        connected
            .unwrap_err()
            .contains("expected spiffe://cluster.local/ns/default/sa/server")
    );
    assert!(accepted.is_err());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new("one");
    let now = SystemTime::now();
    let server = authority.issue(
        SERVER,
        now - Duration::from_secs(7200),
        now - Duration::from_secs(3600),
    );
    let (connected, _) = shake(&authority.live(CLIENT), &server, SERVER).await;
    assert!(connected.unwrap_err().contains("Expired"));
}

#[tokio::test]
async fn a_server_refuses_clients_of_another_authority_and_of_another_trust_domain() {
    let (authority, stranger) = (Authority::new("one"), Authority::new("two"));
    let server = authority.live(SERVER);
    let (_, accepted) = shake(&stranger.live(CLIENT), &server, SERVER).await;
    assert!(accepted.is_err());
    let foreigner = authority.live("spiffe://elsewhere/ns/default/sa/client");
    let (_, accepted) = shake(&foreigner, &server, SERVER).await;
    assert!(accepted.unwrap_err().contains("not accepted"));
}

#[test]
fn renewal_comes_at_half_the_life() {
    let now = SystemTime::now();
    let issued = Authority::new("one").issue(CLIENT, now, now + Duration::from_secs(1_000));
    let after = issued.renew_after(now).as_secs_f64();
    assert!((480.0..520.0).contains(&after), "{after}");
}

#[test]
fn offers_of_mesh_clients_are_told_from_the_applications_tls() {
    let offers = |names: &[&str]| {
        names
            .iter()
            .map(|n| n.as_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    for (names, alpn) in [
        (
            &["istio-http/1.1", "istio", "http/1.1"][..],
            Some(Alpn::Http1),
        ),
        (&["istio-h2", "istio", "h2"], Some(Alpn::Http2)),
        (&["istio-peer-exchange", "istio"], Some(Alpn::Tcp)),
        (&["h2", "http/1.1"], None),
        (&[], None),
    ] {
        assert_eq!(Alpn::of_mesh_client(&offers(names)), alpn);
    }
}
