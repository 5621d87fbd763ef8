//! The stand-in for OpenAI on a port of its own.

use std::net::SocketAddr;

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::{LimiterOptions, Options, Simulator};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The options of a stand-in that takes as many calls as come.
pub(crate) fn unlimited() -> Options {
    let limiter = LimiterOptions { enabled: false, ..LimiterOptions::default() };
    Options { limiter, ..Options::default() }
}

/// Serves a stand-in until the test ends or the task is aborted; tells where.
pub(crate) async fn serve(simulator: &Simulator) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulator = simulator.clone();
    let task = tokio::spawn(async move { simulator.serve(listener, std::future::pending()).await.unwrap() });
    (address, task)
}

/// A stand-in for the real program: it limits nothing, and its clock is the machine's. Tells also where it is.
pub(crate) async fn upstream() -> (Simulator, SocketAddr) {
    let simulator = Simulator::new(unlimited(), Clock::system());
    let (address, _task) = serve(&simulator).await;
    (simulator, address)
}
