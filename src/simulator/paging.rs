//! The two ways in which OpenAI's lists are paged.

use serde_json::{Value, json};

use super::call::{Answer, Call, Outcome, Refusal};
use super::options::{Options, UnknownCursor};

/// Answer to an `after` that names nothing in the list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Missing {
    NotFound,
    Other(UnknownCursor),
}

/// A list paged by the id of the last object: `after`, `first_id`, `last_id`, `has_more`.
pub(super) struct ById<'a> {
    pub(super) call: &'a Call,
    pub(super) options: &'a Options,
    pub(super) max: usize,
    pub(super) missing: Missing,
}

impl ById<'_> {
    /// One page of `items`, each shown by `show`.
    pub(super) fn page<T>(&self, items: &[(&str, T)], show: impl Fn(&T) -> Value) -> Outcome {
        let limit = limit(self.call, self.options, 1, self.max, 20)?;
        let place = |id: &str| items.iter().position(|(found, _)| *found == id);
        let (mut from, mut to) = (0, items.len());
        if let Some(after) = self.call.query.one("after") {
            match (place(after), self.missing) {
                (Some(place), _) => from = place + 1,
                (None, Missing::NotFound) => return Err(unknown_cursor(404, "after", after)),
                (None, Missing::Other(UnknownCursor::BadRequest)) => {
                    return Err(unknown_cursor(400, "after", after));
                }
                (None, Missing::Other(UnknownCursor::EmptyPage)) => from = to,
            }
        }
        if let Some(before) = self.call.query.one("before") {
            to = place(before).ok_or_else(|| unknown_cursor(404, "before", before))?;
            from = from.max(to.saturating_sub(limit));
        }
        let rest = items.get(from..to).unwrap_or_default();
        let shown = rest.get(..limit).unwrap_or(rest);
        Answer::ok(json!({
            "object": "list",
            "data": shown.iter().map(|(_, item)| show(item)).collect::<Vec<_>>(),
            "first_id": shown.first().map(|(id, _)| id),
            "last_id": shown.last().map(|(id, _)| id),
            "has_more": rest.len() > shown.len(),
        }))
    }
}

/// The order of a list that is paged by `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// A list paged by the previous answer's `next`: `order`, `has_more`, `next`.
pub(super) struct ByNext<'a> {
    pub(super) call: &'a Call,
    pub(super) options: &'a Options,
    pub(super) max: usize,
    pub(super) default: usize,
    pub(super) order: Order,
}

impl ByNext<'_> {
    /// One page of `items`, which are given in ascending order. `next` is the last id shown, so that both
    /// documented readings of `after` (the last `next`, or the last object's id) work.
    pub(super) fn page<T>(&self, mut items: Vec<(&str, T)>, show: impl Fn(&T) -> Value) -> Outcome {
        let limit = limit(self.call, self.options, 0, self.max, self.default)?;
        if order(self.call, self.order)? == Order::Descending {
            items.reverse();
        }
        let mut from = 0;
        let after = self.call.query.one("after");
        if let Some(after) = after {
            let place = items.iter().position(|(found, _)| *found == after);
            from = place.ok_or_else(|| unknown_cursor(400, "after", after))? + 1;
        }
        let rest = items.get(from..).unwrap_or_default();
        let shown = rest.get(..limit).unwrap_or(rest);
        let more = rest.len() > shown.len();
        let next = more.then(|| shown.last().map(|(id, _)| *id).or(after)).flatten();
        Answer::ok(json!({
            "object": "list",
            "data": shown.iter().map(|(_, item)| show(item)).collect::<Vec<_>>(),
            "has_more": more,
            "next": next,
        }))
    }
}

/// The wanted order, or the list's own.
pub(super) fn order(call: &Call, default: Order) -> Result<Order, Refusal> {
    match call.query.one("order") {
        None => Ok(default),
        Some("asc") => Ok(Order::Ascending),
        Some("desc") => Ok(Order::Descending),
        Some(_) => Err(Refusal::invalid_type("order", "'asc' or 'desc'")),
    }
}

fn limit(call: &Call, options: &Options, min: usize, max: usize, default: usize) -> Result<usize, Refusal> {
    let limit = match call.query.one("limit") {
        None => default,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (min..=max).contains(limit))
            .ok_or_else(|| Refusal::invalid_type("limit", &format!("an integer from {min} to {max}")))?,
    };
    Ok(options.page_cap.map_or(limit, |cap| limit.min(cap)))
}

fn unknown_cursor(status: u16, name: &str, cursor: &str) -> Refusal {
    Refusal::new(status, format!("No object with id '{cursor}' was found for '{name}'.")).param(name)
}
