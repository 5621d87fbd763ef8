//! Certificates by themselves, from a real authority that looks at the port.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::config::{CertificateRules, NetworkRules};
use openai_scim_bridge::http::Gate;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::tls::acme::{self, Keeper, Settings, Status};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use url::Url;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::harness::bridge::{Builder, TestBridge};
use crate::harness::pebble::{NAME, Pebble, free_address};
use crate::harness::program::{FAST, PATIENCE, Running, TOKEN, folder, program, succeed, until};
use crate::harness::scripted::{Scripted, Turn};
use crate::harness::standin::upstream;
use crate::scim_tls::{Authority, authority, connect, get, get_trusting, identity, with_token};

/// A bridge that keeps its own certificate. Its clock is moved by hand, and begins with that of the machine, which
/// authorities and clients go by.
struct Site {
    bridge: TestBridge,
    clock: Clock,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
}

impl Site {
    async fn start(settings: &Settings) -> Self {
        Self::start_with(settings, TestBridge::builder()).await
    }

    async fn start_with(settings: &Settings, builder: Builder) -> Self {
        let clock = Clock::manual(Clock::system().now());
        let (keeper, tls) = Keeper::open(settings, clock.clone()).unwrap();
        tls.ask_for_certificates(true);
        let (status, stop) = (keeper.status(), CancellationToken::new());
        let bridge = builder.tls(tls).start().await;
        tokio::spawn(keeper.run(stop.clone()));
        Self { bridge, clock, status, stop }
    }

    fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Waits until it stands like this, and lets the time of further attempts come.
    async fn until(&self, what: &str, holds: impl Fn(Status) -> bool) {
        until(what, async || {
            let status = self.status();
            if !holds(status) && status.failures > 0 {
                self.move_to(status.next);
            }
            holds(status)
        })
        .await;
    }

    fn move_to(&self, instant: Option<Timestamp>) {
        if let Some(instant) = instant.filter(|instant| *instant > self.clock.now()) {
            self.clock.set(instant);
        }
    }

    /// Asks for health; the certificate that was shown meanwhile.
    async fn shown(&self, root: &CertificateDer<'static>) -> Option<CertificateDer<'static>> {
        let (answer, shown) = get_trusting(self.bridge.address, root, None, "/healthz", "").await?;
        answer.expect(200);
        Some(shown)
    }

    async fn leave(self) {
        self.stop.cancel();
        self.bridge.leave().await;
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Where the authority's files are.
fn kept_in(settings: &Settings) -> PathBuf {
    let mut folders = std::fs::read_dir(&settings.folder).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none());
    folder
}

#[tokio::test]
async fn a_certificate_is_got_served_kept_and_used_again() {
    let Some(pebble) = Pebble::find().await else { return };
    let folder = folder();
    let settings = pebble.settings(folder.path());
    let site = Site::start(&settings).await;
    let stranger = authority();
    assert!(
        connect(site.bridge.address, stranger.der(), None).await.is_none(),
        "there is nothing to show yet"
    );

    // Pebble takes no notice of one request in five at first.
    let running = pebble.start(site.bridge.address.port(), 20).await;
    site.until("there is a certificate", |status| status.certificate.is_some()).await;
    let root = pebble.root().await;
    let first = site.shown(&root).await.unwrap();
    let validity = site.status().certificate.unwrap();
    assert_eq!(site.status().next, Some(validity.renewal()));
    assert_eq!(acme::kept(&settings).unwrap(), Some(validity));

    let own = kept_in(&settings);
    assert_eq!([mode(&settings.folder), mode(&own)], [0o700, 0o700]);
    let mut files: Vec<_> = std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files, [own.join("account.json"), own.join("certificate.pem")]);
    assert!(files.iter().all(|file| mode(file) == 0o600));
    site.leave().await;
    running.kill();

    // Whoever asked a dead authority would fail.
    let site = Site::start(&settings).await;
    until("the keeper waits", async || site.clock.sleepers() > 0).await;
    assert_eq!(
        site.status(),
        Status { certificate: Some(validity), failures: 0, next: Some(validity.renewal()) }
    );
    assert_eq!(site.shown(&root).await.unwrap(), first);
    site.leave().await;

    let others =
        Settings { domains: vec![NAME.to_owned(), "www.example.com".to_owned()], ..settings.clone() };
    assert_eq!(acme::kept(&others).unwrap(), None, "it is not for all of these names");
    let elsewhere = Settings { directory: "https://ca.example.com/dir".parse().unwrap(), ..settings };
    assert_eq!(acme::kept(&elsewhere).unwrap(), None, "it is of another authority");
}

#[tokio::test]
async fn a_renewal_interrupts_nobody() {
    let Some(pebble) = Pebble::find().await else { return };
    let folder = folder();
    let settings = pebble.settings(folder.path());
    let site = Site::start(&settings).await;
    let _running = pebble.start(site.bridge.address.port(), 0).await;
    site.until("there is a certificate", |status| status.certificate.is_some()).await;
    let root = pebble.root().await;
    let first = site.shown(&root).await.unwrap();
    let account = std::fs::read(kept_in(&settings).join("account.json")).unwrap();
    let mut open = connect(site.bridge.address, &root, None).await.unwrap();
    let mut ask = async || {
        open.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await.unwrap();
        let mut read = [0; 12];
        open.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"HTTP/1.1 200");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}") {
            rest.push(open.read_u8().await.unwrap());
        }
    };
    ask().await;

    let old = site.status().certificate.unwrap();
    site.clock.set(old.renewal().checked_sub(SignedDuration::from_secs(1)).unwrap());
    until("the keeper waits again", async || site.clock.sleepers() > 0).await;
    assert_eq!(site.shown(&root).await.unwrap(), first, "it is not time yet");
    site.clock.set(old.renewal());
    until("another certificate is shown", async || site.shown(&root).await.unwrap() != first).await;
    ask().await;
    assert_eq!(std::fs::read(kept_in(&settings).join("account.json")).unwrap(), account, "the account stays");
}

#[tokio::test]
async fn the_old_certificate_stays_while_the_authority_is_away_and_forgets_everything() {
    let Some(pebble) = Pebble::find().await else { return };
    let folder = folder();
    let settings = pebble.settings(folder.path());
    let site = Site::start(&settings).await;
    let port = site.bridge.address.port();
    let running = pebble.start(port, 0).await;
    site.until("there is a certificate", |status| status.certificate.is_some()).await;
    let root = pebble.root().await;
    let first = site.shown(&root).await.unwrap();
    let own = kept_in(&settings);
    let (account, old) =
        (std::fs::read(own.join("account.json")).unwrap(), site.status().certificate.unwrap());
    running.kill();

    site.clock.set(old.renewal());
    for (failures, minutes) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
        until("it fails", async || site.status().failures == failures).await;
        let status = site.status();
        assert_eq!(status.next.unwrap().duration_since(site.clock.now()), SignedDuration::from_mins(minutes));
        assert_eq!(status.certificate, Some(old));
        assert_eq!(site.shown(&root).await.unwrap(), first);
        site.move_to(status.next);
    }
    // A new life: it knows neither the account nor the names that it validated.
    let _running = pebble.start(port, 0).await;
    site.until("it recovers", |status| status.failures == 0).await;
    let root = pebble.root().await;
    assert_ne!(site.shown(&root).await.unwrap(), first);
    assert_ne!(std::fs::read(own.join("account.json")).unwrap(), account);
}

/// Takes every certificate: what the authority itself looks at is looked at here.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_question_of_the_authority_is_answered_by_the_handshake_and_by_nothing_else() {
    let Some(pebble) = Pebble::find().await else { return };
    let folder = folder();
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _running = pebble.start(between.local_addr().unwrap().port(), 0).await;
    let site = Site::start(&pebble.settings(folder.path())).await;
    let bridge = site.bridge.address;
    let (mut question, _) = timeout(PATIENCE, between.accept()).await.unwrap().unwrap();

    // While it waits, others ask.
    let ask = async |name: &str, protocols: &[&str]| {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(bridge).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
    };
    let mut asked = ask(NAME, &["acme-tls/1"]).await.unwrap();
    let shown = asked.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, shown) = X509Certificate::from_der(&shown).unwrap();
    // RFC 8737 §6.1
    let answer =
        shown.extensions().iter().find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    assert!(answer.unwrap().critical);
    let _cut = asked.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await.is_err();
    let mut read = Vec::new();
    let _reset = asked.read_to_end(&mut read).await.is_err();
    assert!(read.is_empty(), "{}", String::from_utf8_lossy(&read));
    for (name, protocols) in [
        ("www.example.com", ["acme-tls/1"].as_slice()),
        (NAME, ["acme-tls/1", "http/1.1"].as_slice()),
        (NAME, ["http/1.1"].as_slice()),
        (NAME, &[]),
    ] {
        assert!(ask(name, protocols).await.is_none(), "{name} {protocols:?}");
    }

    let lead = tokio::spawn(async move {
        loop {
            let mut here = TcpStream::connect(bridge).await.unwrap();
            let _ended = copy_bidirectional(&mut question, &mut here).await.is_ok();
            question = between.accept().await.unwrap().0;
        }
    });
    site.until("there is a certificate", |status| status.certificate.is_some()).await;
    lead.abort();
    assert!(ask(NAME, &["acme-tls/1"]).await.is_none(), "nothing is asked any more");
    assert!(ask(NAME, &["acme-tls/1", "http/1.1"]).await.is_some());
}

#[tokio::test]
async fn clients_show_their_certificates_as_before() {
    let Some(pebble) = Pebble::find().await else { return };
    let folder = folder();
    let settings = pebble.settings(folder.path());
    let theirs = authority();
    let rules = CertificateRules { authorities: theirs.pem(), names: Vec::new(), fingerprints: Vec::new() };
    let gate = Gate::new(Clock::system(), Vec::new(), 1_000_000);
    let rules = NetworkRules { client_certificate: Some(rules), ..NetworkRules::default() };
    gate.take_on(TenantId::default_tenant(), &rules).unwrap();
    let site = Site::start_with(&settings, TestBridge::builder().gate(gate)).await;
    let _running = pebble.start(site.bridge.address.port(), 0).await;
    site.until("there is a certificate", |status| status.certificate.is_some()).await;
    let root = pebble.root().await;
    let client = identity(&theirs, "okta", &["okta.example.com"]);
    for (client, status) in [(Some(&client), 200), (None, 401)] {
        let token = with_token();
        let answer = get_trusting(site.bridge.address, &root, client, "/scim/v2/Users", &token).await;
        assert_eq!(answer.unwrap().0.status, status);
    }
}

#[tokio::test]
async fn an_authority_is_left_alone_as_long_as_it_says() {
    let busy = || Turn::answer(503, &[("retry-after", "7200")], "");
    let authority = Scripted::start([busy(), Turn::json(503, "{}")]).await;
    let folder = folder();
    let settings = asking(&authority.base_url, &folder);
    let site = Site::start(&settings).await;
    until("it fails", async || site.status().failures == 1).await;
    let left_alone = |site: &Site| site.status().next.unwrap().duration_since(site.clock.now());
    assert_eq!(left_alone(&site), SignedDuration::from_hours(2));
    site.move_to(site.status().next);
    until("it fails again", async || site.status().failures == 2).await;
    assert_eq!(left_alone(&site), SignedDuration::from_mins(2));
    assert!(authority.seen()[0].headers["user-agent"].starts_with("openai-scim-bridge/"));
}

#[tokio::test]
async fn an_authority_can_have_a_certificate_replaced_before_its_time() {
    let (listener, folder) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), folder());
    let base = listener.local_addr().unwrap();
    let at = |path: &str| format!("http://{base}/{path}");
    let directory = json!({
        "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"), "renewalInfo": at("renewal"),
    });
    let window =
        json!({ "suggestedWindow": { "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z" } });
    let directory = || Turn::json(200, &directory.to_string());
    let info = Turn::answer(200, &[("retry-after", "21600")], &window.to_string());
    let nonce = Turn::answer(200, &[("replay-nonce", "abc")], "");
    let scripted = Scripted::on(listener, [directory(), info, directory(), nonce, Turn::json(500, "{}")]);
    let settings = asking(&scripted.base_url, &folder);
    keep_from_before(&settings, &authority(), 4000);

    let site = Site::start(&settings).await;
    until("the keeper waits", async || site.clock.sleepers() > 0).await;
    assert!(scripted.seen().is_empty(), "a start asks for nothing");
    site.clock.advance(SignedDuration::from_hours(6));
    until("it tries", async || site.status().failures == 1).await;
    let lines: Vec<_> = scripted.seen().into_iter().map(|seen| seen.line).collect();
    let id = acme::kept(&settings).unwrap().map(|_| lines[1].rsplit('/').next().unwrap().to_owned()).unwrap();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[1].starts_with("GET /renewal/") && id.split('.').count() == 2, "{lines:?}");
    assert_eq!((lines[3].as_str(), lines[4].as_str()), ("HEAD /nonce", "POST /order"));
    let order = scripted.seen()[4].body.clone().unwrap();
    let payload = URL_SAFE_NO_PAD.decode(order["payload"].as_str().unwrap()).unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload, json!({ "replaces": id, "identifiers": [{ "type": "dns", "value": NAME }] }));
}

fn asking(directory: &Url, folder: &TempDir) -> Settings {
    Settings {
        domains: vec![NAME.to_owned()],
        contact: None,
        folder: folder.path().join("acme"),
        directory: directory.clone(),
        roots: None,
    }
}

/// An account and a certificate as of an earlier run.
fn keep_from_before(settings: &Settings, issuer: &Authority, ends_in: i32) {
    drop(Keeper::open(settings, Clock::system()).unwrap());
    let own = kept_in(settings);
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.not_after = rcgen::date_time_ymd(ends_in, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap().pem();
    std::fs::write(own.join("certificate.pem"), format!("{}{certificate}", key.serialize_pem())).unwrap();
    let account = json!({
        "id": "http://127.0.0.1/account/1",
        "key_pkcs8": URL_SAFE_NO_PAD.encode(key.serialize_der()),
        "directory": settings.directory,
    });
    std::fs::write(own.join("account.json"), account.to_string()).unwrap();
}

/// The settings of a program that gets its certificate like this.
fn write_settings(settings: &Settings, folder: &Path) {
    let roots = settings.roots.as_ref().map(|roots| {
        std::fs::write(folder.join("ca.pem"), roots).unwrap();
        "ca_file = 'ca.pem'\n"
    });
    let text = format!(
        "{FAST}[server.acme]\ndomains = ['{NAME}']\nfolder = 'acme'\ndirectory_url = '{}'\nterms_agreed = true\n{}",
        settings.directory,
        roots.unwrap_or_default()
    );
    std::fs::write(folder.join("settings.toml"), text).unwrap();
}

fn doctor(folder: &Path, upstream: SocketAddr) -> Command {
    let mut doctor = program(folder);
    doctor
        .args(["doctor", "--config", "settings.toml"])
        .env("OPENAI_ADMIN_KEY", "sk-admin-simulator")
        .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"));
    doctor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_lines_of_settings_are_all_that_https_takes() {
    let Some(pebble) = Pebble::find().await else { return };
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    write_settings(&pebble.settings(folder.path()), folder.path());
    let address = free_address();
    let doctor = || succeed(&mut doctor(folder.path(), upstream));
    assert!(doctor().contains("none yet; `scim-bridge serve` gets one"));
    let mut serve = serving_at(address, upstream, folder.path());
    let running = pebble.start(address.port(), 0).await;
    let (bridge, _) = Running::serve(&mut serve).await;
    bridge.until_logged("a new certificate is in service").await;
    assert!(bridge.stderr().contains("https://scim.example.com/"), "its public address: {}", bridge.stderr());
    let root = pebble.root().await;
    let page = async |path: &str| get_trusting(address, &root, None, path, "").await.unwrap();
    until("the board says so", async || {
        let board: serde_json::Value = serde_json::from_str(&page("/readyz").await.0.body).unwrap();
        board["components"]["certificate"] == "ok" && board["details"]["certificate"]["failures"] == 0
    })
    .await;
    let metrics = page("/metrics").await.0.body;
    assert!(metrics.contains("scim_bridge_certificate_end_timestamp_seconds{origin=\"acme\"} "), "{metrics}");
    let (answer, first) = page("/healthz").await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert!(doctor().contains("days, and renewed in"));
    bridge.ask_to_stop();
    assert!(bridge.ended().await.0.success());
    running.kill();

    let (bridge, _) = Running::serve(&mut serve).await;
    assert_eq!(page("/healthz").await.1, first, "it was kept");
    assert!(!bridge.stderr().contains("WARN"), "{}", bridge.stderr());
}

#[tokio::test]
async fn a_name_that_does_not_lead_here_is_told_with_what_to_do() {
    let Some(pebble) = Pebble::find().await else { return };
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    write_settings(&pebble.settings(folder.path()), folder.path());
    let (address, elsewhere) = (free_address(), free_address());
    let _running = pebble.start(elsewhere.port(), 0).await;
    let (bridge, _) = Running::serve(&mut serving_at(address, upstream, folder.path())).await;
    bridge.until_logged("scim.example.com was not validated").await;
    let log = bridge.stderr();
    let line = log.lines().find(|line| line.contains("was not validated")).unwrap();
    for words in ["WARN", "its port 443 must lead to this program", "so nobody can connect"] {
        assert!(line.contains(words), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_is_on_the_board_and_told_by_the_doctor() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let settings = asking(&format!("http://{}/", free_address()).parse().unwrap(), &folder);
    let issuer = authority();
    keep_from_before(&settings, &issuer, 2040);
    write_settings(&settings, folder.path());
    let address = free_address();
    let (bridge, _) = Running::serve(&mut serving_at(address, upstream, folder.path())).await;
    bridge.until_logged("the present one stays in service").await;
    let board = get(address, &issuer, None, "/readyz", "").await.unwrap().0.expect(200);
    assert_eq!(board["components"]["certificate"], "degraded", "{board}");
    let details = &board["details"]["certificate"];
    assert_eq!((&details["failures"], &details["ends"]), (&json!(1), &json!("2040-01-01T00:00:00Z")));
    assert!(succeed(&mut doctor(folder.path(), upstream)).contains("another one is due"));
}

fn serving_at(address: SocketAddr, upstream: SocketAddr, folder: &Path) -> Command {
    let mut command = program(folder);
    command
        .args([
            "serve",
            "--config",
            "settings.toml",
            "--log-format",
            "json",
            "--listen",
            &address.to_string(),
        ])
        .env("OPENAI_ADMIN_KEY", "sk-admin-simulator")
        .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
        .env("SCIM_BRIDGE_TOKEN", TOKEN);
    command
}
