//! Integration tests: everything through the outermost door.
