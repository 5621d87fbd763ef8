//! Pebble, the authority that Let's Encrypt made for tests: it speaks ACME, really looks at the port of whoever asks,
//! and issues. Names lead it to this machine.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openai_scim_bridge::tls::acme::Settings;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::program::Running;
use super::python::{announce, is_set};
use crate::scim_tls::{self, Authority, get};

/// The name that certificates are asked for.
pub(crate) const NAME: &str = "scim.example.com";

/// A place for Pebble, whether or not it runs.
pub(crate) struct Pebble {
    program: PathBuf,
    folder: TempDir,
    /// Vouches for Pebble's own address.
    authority: Authority,
    api: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    name_server: JoinHandle<()>,
}

impl Pebble {
    /// Finds Pebble; `None`, said loudly, where it is not installed.
    ///
    /// # Panics
    ///
    /// In CI, where nothing may be left out.
    pub(crate) async fn find() -> Option<Self> {
        let Some(program) = on_path("pebble") else {
            assert!(!is_set("CI"), "CI must get certificates: install the package pebble");
            announce("getting certificates by ACME was NOT tested: install the package pebble (./test does)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let authority = scim_tls::authority();
        let own = scim_tls::identity(&authority, "pebble", &["localhost", NAME]);
        std::fs::write(folder.path().join("tls.crt"), own.certificate).unwrap();
        std::fs::write(folder.path().join("tls.key"), own.key).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = socket.local_addr().unwrap();
        let name_server = tokio::spawn(lead_here(socket));
        let (api, management) = (free_address(), free_address());
        Some(Self { program, folder, authority, api, management, names, name_server })
    }

    /// Starts it; it looks for whoever asks at `port`. It knows nothing of what it did before.
    pub(crate) async fn start(&self, port: u16, nonces_refused_percent: u32) -> Running {
        let settings = json!({ "pebble": {
            "listenAddress": self.api.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": "tls.crt",
            "privateKey": "tls.key",
            "httpPort": 9,
            "tlsPort": port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": 90 * 24 * 3_600,
        }});
        std::fs::write(self.folder.path().join("pebble.json"), settings.to_string()).unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(["-strict", "-config", "pebble.json", "-dnsserver", &self.names.to_string()])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", nonces_refused_percent.to_string())
            .stdin(Stdio::null());
        // This is the last that it says before it listens on both addresses.
        let (running, ()) =
            Running::start(&mut command, |line| line.contains("ACME directory available").then_some(()))
                .await;
        super::program::until("Pebble listens", async || {
            tokio::net::TcpStream::connect(self.api).await.is_ok()
                && tokio::net::TcpStream::connect(self.management).await.is_ok()
        })
        .await;
        running
    }

    /// The root of what it issues in this life.
    pub(crate) async fn root(&self) -> CertificateDer<'static> {
        let (answer, _) = get(self.management, &self.authority, None, "/roots/0", "").await.unwrap();
        CertificateDer::from_pem_slice(answer.body.as_bytes()).unwrap()
    }

    /// Settings with which certificates are had from it.
    pub(crate) fn settings(&self, folder: &Path) -> Settings {
        Settings {
            domains: vec![NAME.to_owned()],
            contact: Some("operations@example.com".to_owned()),
            folder: folder.join("acme"),
            directory: format!("https://localhost:{}/dir", self.api.port()).parse().unwrap(),
            roots: Some(self.authority.pem()),
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.name_server.abort();
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tools of tests are found where the shell finds them")]
    let path = std::env::var("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// An address on this machine that nobody else has.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A name server to which every name is 127.0.0.1 and nothing else (RFC 1035 §4.1).
async fn lead_here(socket: UdpSocket) {
    const ADDRESS: [u8; 2] = [0, 1];
    let mut query = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut query).await {
        let labels = query[12..length].iter().position(|byte| *byte == 0).unwrap();
        let question = &query[12..12 + labels + 5];
        let is_asked = question[labels + 1..labels + 3] == ADDRESS;
        let mut answer = query[..2].to_vec();
        // An answer by who may give it, to one question, with what there is to say.
        answer.extend([0x85, 0x80, 0, 1, 0, u8::from(is_asked), 0, 0, 0, 0]);
        answer.extend(question);
        if is_asked {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}
