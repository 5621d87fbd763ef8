//! Integration tests: everything through the outermost door.

#[cfg(test)]
mod simulator;
