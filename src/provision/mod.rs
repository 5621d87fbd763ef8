//! The engine: drives the OpenAI organization to what the directory wishes.

mod agenda;
mod context;
pub mod desired;
mod driver;
mod execute;
pub mod guard;
pub mod handle;
mod load;
mod observe;
mod pace;
pub mod plan;
pub mod status;
mod sweeps;

pub use driver::Engine;
