//! The engine: drives the OpenAI organization to what the directory wishes.

pub mod handle;
