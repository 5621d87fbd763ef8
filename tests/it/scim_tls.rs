//! HTTPS in the program itself, and certificates that clients must present.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use openai_scim_bridge::config::{CertificateRules, NetworkRules};
use openai_scim_bridge::http::Gate;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::tls::server::ServerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::bridge::{STATIC_TOKEN, TestBridge};
use crate::harness::database::Database;
use crate::harness::wire::{Answer, exchange, parse};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate with its key, both in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn identity(authority: &Authority, common_name: &str, names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// The files of a server's certificate.
pub(crate) struct Files {
    _folder: TempDir,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn of(identity: &Identity) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self {
            certificate: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
            _folder: folder,
        };
        files.write(identity);
        files
    }

    pub(crate) fn write(&self, identity: &Identity) {
        std::fs::write(&self.certificate, &identity.certificate).unwrap();
        std::fs::write(&self.key, &identity.key).unwrap();
    }
}

/// Sends a request by TLS; `None` if there was no connection to be had. Tells the server's own certificate as well.
pub(crate) async fn get(
    address: SocketAddr,
    authority: &Authority,
    client: Option<&Identity>,
    path: &str,
    more: &str,
) -> Option<(Answer, CertificateDer<'static>)> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some(client) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("scim.example.com").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let own = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let request = format!("GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    let _unclean_end = stream.read_to_end(&mut read).await.is_err();
    (!read.is_empty()).then(|| (parse(&read), own))
}

pub(crate) fn with_token() -> String {
    format!("Authorization: Bearer {STATIC_TOKEN}\r\n")
}

#[tokio::test]
async fn https_is_served_and_a_new_certificate_is_taken_up() {
    let authority = authority();
    let files = Files::of(&identity(&authority, "first", &["scim.example.com"]));
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    let bridge = TestBridge::builder().tls(tls.clone()).start().await;
    let (answer, first) =
        get(bridge.address, &authority, None, "/scim/v2/Users", &with_token()).await.unwrap();
    answer.expect(200);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));

    files.write(&identity(&authority, "second", &["scim.example.com"]));
    tls.reload(&files.certificate, &files.key).unwrap();
    let (_, second) = get(bridge.address, &authority, None, "/healthz", "").await.unwrap();
    assert_ne!(first, second);

    std::fs::write(&files.key, "no key").unwrap();
    let error = tls.reload(&files.certificate, &files.key).unwrap_err().to_string();
    assert!(error.contains("tls.key") && error.contains("PEM"), "{error}");
    let (_, still) = get(bridge.address, &authority, None, "/healthz", "").await.unwrap();
    assert_eq!(still, second);
}

#[tokio::test]
async fn clear_text_on_a_tls_listener_gets_no_answer() {
    let authority = authority();
    let files = Files::of(&identity(&authority, "first", &["scim.example.com"]));
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    let bridge = TestBridge::builder().tls(tls).start().await;
    let mut stream = TcpStream::connect(bridge.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    let _reset = stream.read_to_end(&mut read).await.is_err();
    assert!(!String::from_utf8_lossy(&read).contains("HTTP/"));
}

/// A bridge by HTTPS whose default tenant wants certificates.
pub(crate) async fn certified(server: &Authority, rules: CertificateRules) -> (TestBridge, Files) {
    let files = Files::of(&identity(server, "server", &["scim.example.com"]));
    let tls = ServerTls::load(&files.certificate, &files.key).unwrap();
    tls.ask_for_certificates(true);
    let database = Database::sqlite();
    let gate = Gate::new(database.clock.clone(), Vec::new(), 1_000_000);
    let rules = NetworkRules { client_certificate: Some(rules), ..NetworkRules::default() };
    gate.take_on(TenantId::default_tenant(), &rules).unwrap();
    (TestBridge::builder().tenant("acme").tls(tls).gate(gate).on(database).start().await, files)
}

/// Certificates of this authority with this name.
pub(crate) fn named(authority: &Authority, name: &str) -> CertificateRules {
    CertificateRules { names: vec![name.to_owned()], ..issued_by(authority) }
}

fn issued_by(authority: &Authority) -> CertificateRules {
    CertificateRules { authorities: authority.pem(), names: Vec::new(), fingerprints: Vec::new() }
}

#[tokio::test]
async fn a_tenant_takes_clients_with_a_certificate_of_its_authority_alone() {
    let (server, theirs, others) = (authority(), authority(), authority());
    let (bridge, _files) = certified(&server, issued_by(&theirs)).await;
    let (good, foreign) =
        (identity(&theirs, "okta", &["okta.example.com"]), identity(&others, "okta", &["okta.example.com"]));
    for (client, status) in [(Some(&good), 200), (Some(&foreign), 401), (None, 401)] {
        let answer = get(bridge.address, &server, client, "/scim/v2/Users", &with_token()).await.unwrap().0;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    // The certificate is no substitute for the token, and another tenant does not ask for one.
    get(bridge.address, &server, Some(&good), "/scim/v2/Users", "").await.unwrap().0.expect_error(401, None);
    let acme = format!("Authorization: Bearer {}\r\n", bridge.mint("acme", None).await.1);
    get(bridge.address, &server, None, "/tenants/acme/scim/v2/Users", &acme).await.unwrap().0.expect(200);
}

#[tokio::test]
async fn pins_by_name_and_by_fingerprint_single_certificates_out() {
    let (server, theirs) = (authority(), authority());
    let (okta, another) =
        (identity(&theirs, "okta", &["okta.example.com"]), identity(&theirs, "vpn", &["vpn.example.com"]));
    let der = CertificateDer::from_pem_slice(okta.certificate.as_bytes()).unwrap();
    let fingerprint: [u8; 32] = Sha256::digest(&der).into();
    for rules in [
        named(&theirs, "okta.example.com"),
        named(&theirs, "CN=okta"),
        CertificateRules { fingerprints: vec![fingerprint], ..issued_by(&theirs) },
    ] {
        let (bridge, _files) = certified(&server, rules.clone()).await;
        for (client, status) in [(&okta, 200), (&another, 401)] {
            let answer = get(bridge.address, &server, Some(client), "/scim/v2/Users", &with_token()).await;
            assert_eq!(answer.unwrap().0.status, status, "{rules:?}");
        }
    }
}

#[tokio::test]
async fn an_expired_client_certificate_is_refused() {
    let (server, theirs) = (authority(), authority());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let old =
        Identity { certificate: params.signed_by(&key, &theirs).unwrap().pem(), key: key.serialize_pem() };
    let (bridge, _files) = certified(&server, issued_by(&theirs)).await;
    let answer = get(bridge.address, &server, Some(&old), "/scim/v2/Users", &with_token()).await.unwrap().0;
    answer.expect_error(401, None);
}

#[tokio::test]
async fn without_tls_no_certificate_can_be_shown_and_nobody_comes_in() {
    let theirs = authority();
    let database = Database::sqlite();
    let gate = Gate::new(database.clock.clone(), Vec::new(), 1_000_000);
    let rules = NetworkRules { client_certificate: Some(issued_by(&theirs)), ..NetworkRules::default() };
    gate.take_on(TenantId::default_tenant(), &rules).unwrap();
    let bridge = TestBridge::builder().gate(gate).on(database).start().await;
    let request =
        format!("GET /scim/v2/Users HTTP/1.1\r\nHost: b\r\nConnection: close\r\n{}\r\n", with_token());
    assert_eq!(exchange(bridge.address, request.as_bytes()).await.unwrap().status, 401);
}
