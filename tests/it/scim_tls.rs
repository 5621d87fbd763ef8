//! HTTPS in the program itself, and certificates that clients must present.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openai_scim_bridge::config::{CertificateRules, NetworkRules};
use openai_scim_bridge::http::Gate;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::tls::server::ServerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use crate::harness::bridge::{STATIC_TOKEN, TestBridge};
use crate::harness::database::Database;
use crate::harness::program::{Running, TOKEN, folder, serving};
use crate::harness::standin::upstream;
use crate::harness::wire::{Answer, exchange, parse};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate with its key, both in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
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
    get_trusting(address, authority.der(), client, path, more).await
}

/// The same, with the certificate of an authority that is not ours.
pub(crate) async fn get_trusting(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    client: Option<&Identity>,
    path: &str,
    more: &str,
) -> Option<(Answer, CertificateDer<'static>)> {
    let mut stream = connect(address, root, client).await?;
    let own = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let request = format!("GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    let _unclean_end = stream.read_to_end(&mut read).await.is_err();
    (!read.is_empty()).then(|| (parse(&read), own))
}

/// A connection to whoever proves to be `scim.example.com`.
pub(crate) async fn connect(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    client: Option<&Identity>,
) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let keys = provider.key_provider;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        // The client itself does not look at what it shows.
        Some(client) => {
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
                vec![client.certificate()],
                keys.load_private_key(PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap()).unwrap(),
            ))))
        }
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("scim.example.com").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
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
    let fingerprint: [u8; 32] = Sha256::digest(okta.certificate()).into();
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

/// The same certificate in version 1 of X.509, which has no field for the version yet.
fn in_version_1(identity: &Identity) -> Identity {
    const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
    /// A DER sequence of 128 to 65,535 bytes.
    fn sequence(content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let header = if high == 0 { vec![0x30, 0x81, low] } else { vec![0x30, 0x82, high, low] };
        [header.as_slice(), content].concat()
    }
    let der = identity.certificate();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert!(parsed.extensions().is_empty(), "version 1 has none");
    let signed = parsed.tbs_certificate.as_ref();
    let version = signed.windows(VERSION_3.len()).position(|window| window == VERSION_3).unwrap();
    let before = der.windows(signed.len()).position(|window| window == signed).unwrap();
    let signature = &der[before + signed.len()..];
    let der = sequence(&[&*sequence(&signed[version + VERSION_3.len()..]), signature].concat());
    assert_eq!(X509Certificate::from_der(&der).unwrap().1.version(), X509Version::V1);
    let text = STANDARD.encode(der);
    let certificate = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    Identity { certificate, key: identity.key.clone() }
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_read_is_told_to_the_administrator() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let (server, theirs) = (authority(), authority());
    let files = Files::of(&identity(&server, "server", &["scim.example.com"]));
    std::fs::write(folder.path().join("ca.pem"), theirs.pem()).unwrap();
    let settings = format!(
        "[server]\ntls_certificate_file = '{}'\ntls_key_file = '{}'\n[network]\nclient_ca_file = 'ca.pem'\n",
        files.certificate.display(),
        files.key.display()
    );
    std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
    let mut serve = serving(folder.path(), upstream);
    let (bridge, address) = Running::serve(serve.args(["--config", "settings.toml"])).await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let ask = async |client: &Identity| get(address, &server, Some(client), "/scim/v2/Users", &token).await;

    let good = identity(&theirs, "okta", &[]);
    ask(&good).await.unwrap().0.expect(200);
    assert!(!bridge.stderr().contains("cannot be read"), "{}", bridge.stderr());
    let old = in_version_1(&good);
    for _ in 0..3 {
        assert!(ask(&old).await.is_none(), "there is no connection to answer on");
    }
    bridge.until_logged("it must be an X.509 certificate of version 3").await;
    ask(&good).await.unwrap().0.expect(200);
    let told = bridge.stderr().lines().filter(|line| line.contains("WARN") && line.contains("X.509")).count();
    assert_eq!(told, 1, "however often it is tried: {}", bridge.stderr());
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
