//! The stand-in against the official Python client, which also validates its answers against OpenAI's description.

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{Options, Simulator};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::python;

#[tokio::test]
async fn the_official_client_can_use_every_operation() {
    let Some(mut script) = python::script("tests/openai_client/test_admin.py") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = tokio::spawn({
        let (simulator, stop) = (Simulator::new(Options::default(), Clock::system()), stop.clone());
        async move { simulator.serve(listener, stop.cancelled_owned()).await }
    });
    script.env("SIMULATOR_URL", url);
    let output = python::run(script).await;
    stop.cancel();
    server.await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    if told.contains("NOT validated") {
        python::announce("answers were NOT validated: OPENAI_ADMIN_OPENAPI names no API description");
    }
}
