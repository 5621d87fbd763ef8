//! Plain data of our domain: what is remembered, wished and planned. No I/O, no clock, no wire format.

pub mod address;
pub mod audit;
pub mod event;
pub mod grant;
pub mod group;
pub mod mapping;
pub mod observed;
pub mod operation;
pub mod person;
pub mod policy;
pub mod tenant;
pub mod token;
