//! Integration tests: everything through the outermost door.

#[cfg(test)]
mod openai_client;
#[cfg(test)]
mod simulator;
