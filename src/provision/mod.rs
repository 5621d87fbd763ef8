//! The engine: drives the OpenAI organization to what the directory wishes.

pub mod desired;
pub mod guard;
pub mod handle;
pub mod plan;
pub mod status;
