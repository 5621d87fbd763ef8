//! Integration tests: everything through the outermost door.

mod architecture;
