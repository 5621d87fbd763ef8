//! The order of execution: that of the request, but what is referred to comes before what refers to it.

use std::collections::BTreeMap;

use super::Entry;
use super::reference;

/// The turn of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) index: usize,
    /// The operations that it refers to.
    pub(super) needs: Vec<usize>,
    /// Whether it refers to itself, directly or by way of others.
    pub(super) in_circle: bool,
}

/// The turns of all operations; `creators` tells which operation creates what an id refers to.
///
/// This is the search for strongly connected components of Tarjan (1972), without recursion: a component is complete
/// when all that it refers to is, and one of several operations is a circle.
pub(super) fn turns(operations: &[Entry], creators: &BTreeMap<String, usize>) -> Vec<Turn> {
    let needs: Vec<Vec<usize>> = operations.iter().map(|entry| needs(entry, creators)).collect();
    let mut search = Search {
        visited: vec![None; operations.len()],
        lowest: vec![0; operations.len()],
        is_open: vec![false; operations.len()],
        open: Vec::new(),
        turns: Vec::with_capacity(operations.len()),
        clock: 0,
    };
    for root in 0..operations.len() {
        search.run(root, &needs);
    }
    search.turns
}

/// The operations that have to come first.
fn needs(entry: &Entry, creators: &BTreeMap<String, usize>) -> Vec<usize> {
    let Ok(operation) = &entry.operation else { return Vec::new() };
    let mut needs = Vec::new();
    let mut add = |id: &str| needs.extend(creators.get(id));
    reference::visit_segment(operation.id.as_deref(), &mut add);
    reference::visit(&operation.data, &mut add);
    needs
}

struct Search {
    /// When an operation was first met.
    visited: Vec<Option<usize>>,
    /// The earliest met of those that are still open and can be reached.
    lowest: Vec<usize>,
    is_open: Vec<bool>,
    /// Operations whose component is not complete.
    open: Vec<usize>,
    turns: Vec<Turn>,
    clock: usize,
}

#[expect(
    clippy::indexing_slicing,
    reason = "every index is one of an operation, and all lists have one entry for each"
)]
impl Search {
    fn run(&mut self, root: usize, needs: &[Vec<usize>]) {
        if self.visited[root].is_some() {
            return;
        }
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((index, next)) = path.last_mut() {
            let index = *index;
            if let Some(needed) = needs[index].get(*next).copied() {
                *next = next.saturating_add(1);
                match self.visited[needed] {
                    None => {
                        self.enter(needed);
                        path.push((needed, 0));
                    }
                    Some(met) if self.is_open[needed] => self.lowest[index] = self.lowest[index].min(met),
                    Some(_) => {}
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.lowest[*parent] = self.lowest[*parent].min(self.lowest[index]);
            }
            if self.visited[index] == Some(self.lowest[index]) {
                self.close(index, needs);
            }
        }
    }

    fn enter(&mut self, index: usize) {
        self.visited[index] = Some(self.clock);
        self.lowest[index] = self.clock;
        self.clock = self.clock.saturating_add(1);
        self.is_open[index] = true;
        self.open.push(index);
    }

    /// Gives all operations of a component their turns, in the order of the request.
    fn close(&mut self, index: usize, needs: &[Vec<usize>]) {
        let first = self.open.iter().rposition(|open| *open == index).unwrap_or_default();
        let mut component = self.open.split_off(first);
        component.sort_unstable();
        let in_circle = component.len() > 1 || needs[index].contains(&index);
        for index in component {
            self.is_open[index] = false;
            self.turns.push(Turn { index, needs: needs[index].clone(), in_circle });
        }
    }
}
