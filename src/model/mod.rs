//! Plain data of our domain: what is remembered, wished and planned. No I/O, no clock, no wire format.

pub mod address;
pub mod alarm;
pub mod audit;
pub mod budget;
pub mod client;
pub mod credential;
pub mod event;
pub mod grant;
pub mod group;
pub mod group_link;
pub mod hold;
pub mod inventory;
pub mod mapping;
pub mod observed;
pub mod operation;
pub mod person;
pub mod policy;
pub mod scope;
pub mod tenant;
pub mod token;
pub mod trust;
pub mod upkeep;
