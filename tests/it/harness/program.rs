//! The real program as a process of its own: started, spoken to over HTTP, told to stop, killed.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::secrets;
use super::wire::{self, Answer};

/// The static token of every program that a test starts, unless it wants none.
pub(crate) const TOKEN: &str = "a-static-token-that-is-long-enough";
/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Settings under which the bridge loses no time against a stand-in.
pub(crate) const FAST: &str =
    "[upstream]\nrequests_per_minute = 60000\nsettle_seconds = 1\n[reconcile]\ninterval_seconds = 10\n";

/// A folder for the program to work in.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The program with a clean environment, working in `folder`, where its database is.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scim-bridge"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// The program to be served against a stand-in, on a free port.
pub(crate) fn serving(folder: &Path, upstream: SocketAddr) -> Command {
    let mut command = program(folder);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .env("OPENAI_ADMIN_KEY", "sk-admin-simulator")
        .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
        .env("SCIM_BRIDGE_TOKEN", TOKEN);
    command
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the program can be started");
    let given = secrets::given_to(command);
    secrets::must_not_be_in("the output of a command", &output.stdout, &given);
    secrets::must_not_be_in("the errors of a command", &output.stderr, &given);
    output
}

/// Runs a command that must succeed, and returns its standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", stderr_of(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with this exit code, and returns its standard error.
#[track_caller]
pub(crate) fn fail(command: &mut Command, code: i32) -> String {
    let output = run(command);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", stderr_of(&output));
    stderr_of(&output)
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that runs. It is killed when dropped; what it has written by then must not hold a secret that it was given.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    secrets: Vec<String>,
    folder: Option<PathBuf>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a command; resolves once a line of its output, standard or error, makes `ready` answer.
    pub(crate) async fn start<T: Send + 'static>(
        command: &mut Command,
        ready: impl Fn(&str) -> Option<T> + Clone + Send + 'static,
    ) -> (Self, T) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, is_ready) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let (stdout, stderr) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<String>>::default());
        let keep = |stream: Box<dyn Read + Send>, kept: &Arc<Mutex<String>>| {
            let (kept, sender, ready) = (Arc::clone(kept), Arc::clone(&sender), ready.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(value) = ready(&line)
                        && let Some(sender) = sender.lock().unwrap().take()
                    {
                        let _waited = sender.send(value).is_ok();
                    }
                    let mut kept = kept.lock().unwrap();
                    kept.push_str(&line);
                    kept.push('\n');
                }
            })
        };
        let readers = vec![
            keep(Box::new(child.stdout.take().unwrap()), &stdout),
            keep(Box::new(child.stderr.take().unwrap()), &stderr),
        ];
        drop(sender);
        let secrets = secrets::given_to(command);
        let folder = command.get_current_dir().map(Path::to_owned);
        let running = Self { child, secrets, folder, stdout, stderr, readers };
        match timeout(PATIENCE, is_ready).await {
            Ok(Ok(value)) => (running, value),
            _ => panic!("the program did not get ready: {}{}", running.stdout(), running.stderr()),
        }
    }

    /// Starts `serve` and waits until it does; tells where.
    pub(crate) async fn serve(command: &mut Command) -> (Self, SocketAddr) {
        Self::start(command, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["message"] == "serving").then(|| event["address"].as_str().unwrap().parse().unwrap())
        })
        .await
    }

    /// What the program has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// What the program has logged so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Ends the program as a power cut would (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the program to stop, as a service manager does (SIGTERM).
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, name: &str) {
        let told = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(told.unwrap().success());
    }

    /// Waits until the program has logged this.
    pub(crate) async fn until_logged(&self, words: &str) {
        let logged = async {
            while !self.stderr().contains(words) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, logged).await.expect("the program logs it in time");
    }

    /// Waits for the program to end by itself.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, String) {
        let waited = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().unwrap();
            for reader in std::mem::take(&mut self.readers) {
                reader.join().unwrap();
            }
            (status, self.stdout(), self.stderr())
        });
        timeout(PATIENCE, waited).await.expect("the program ends in time").unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _killed = self.child.kill().is_ok();
        let _reaped = self.child.wait().is_ok();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test runner shows what a failed test prints")]
            {
                eprintln!("the program's log:\n{}", self.stderr());
            }
            return;
        }
        for reader in std::mem::take(&mut self.readers) {
            reader.join().unwrap();
        }
        secrets::must_not_be_in("the output of the program", self.stdout().as_bytes(), &self.secrets);
        secrets::must_not_be_in("the log of the program", self.stderr().as_bytes(), &self.secrets);
        if let Some(folder) = &self.folder {
            secrets::must_not_be_stored(folder, &self.secrets);
        }
    }
}

/// Waits until this holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A user whose `externalId` is none too simple for a table.
pub(crate) fn user(address: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": address,
        "externalId": format!("ext, \"{address}\""),
        "emails": [{ "value": address, "type": "work", "primary": true }],
        "active": true,
    })
}

/// Creates a [`user`] and returns the resource.
pub(crate) async fn create(bridge: SocketAddr, address: &str) -> Value {
    call(bridge, "POST", "/scim/v2/Users", Some(&user(address))).await.unwrap().expect(201)
}

/// Sends a SCIM request with the static token. `None` if no whole answer came: the program was killed meanwhile.
pub(crate) async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<Answer> {
    call_as(TOKEN, address, method, path, body).await
}

/// The same with another token.
pub(crate) async fn call_as(
    token: &str,
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("an answer in time").ok()?;
    secrets::must_not_be_in("an answer", &read, &[token.to_owned()]);
    let head_ends = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let answer = wire::parse(&read);
    let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    (read.len() == head_ends + 4 + length).then_some(answer)
}

/// Sends a form, with a client's id and secret in the header if there are any.
pub(crate) async fn send_form(
    address: SocketAddr,
    path: &str,
    basic: Option<(&str, &str)>,
    parameters: &[(&str, &str)],
) -> Answer {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let basic = basic.map(|(id, secret)| {
        format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{id}:{secret}")))
    });
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\nContent-Length: {}\r\n{}\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len(),
        basic.unwrap_or_default()
    );
    wire::exchange(address, request.as_bytes()).await.unwrap()
}

/// The access token that a client is given for its secret.
pub(crate) async fn access_token(address: SocketAddr, id: &str, secret: &str) -> String {
    let parameters = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    let granted = send_form(address, "/oauth/token", None, &parameters).await.expect(200);
    granted["access_token"].as_str().unwrap().to_owned()
}
