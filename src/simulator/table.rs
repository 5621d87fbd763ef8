//! An insertion-ordered table with look-up by id: the order of every list.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Rows in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    rows: BTreeMap<u64, Row<T>>,
    places: BTreeMap<String, u64>,
    next: u64,
}

/// One row with what the consistency lags need to know of it.
#[derive(Debug, Clone)]
pub(super) struct Row<T> {
    pub(super) id: String,
    pub(super) born: Timestamp,
    pub(super) value: T,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { rows: BTreeMap::new(), places: BTreeMap::new(), next: 0 }
    }

    /// Adds a row at the end; an id that is there already is replaced and moves to the end.
    pub(super) fn insert(&mut self, id: &str, born: Timestamp, value: T) {
        self.remove(id);
        self.rows.insert(self.next, Row { id: id.to_owned(), born, value });
        self.places.insert(id.to_owned(), self.next);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<T> {
        let place = self.places.remove(id)?;
        self.rows.remove(&place).map(|row| row.value)
    }

    pub(super) fn row(&self, id: &str) -> Option<&Row<T>> {
        self.rows.get(self.places.get(id)?)
    }

    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.row(id).map(|row| &row.value)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.rows.get_mut(self.places.get(id)?).map(|row| &mut row.value)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &Row<T>> {
        self.rows.values()
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.values().map(|row| &row.value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.values_mut().map(|row| &mut row.value)
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let places = &mut self.places;
        self.rows.retain(|_, row| {
            let kept = keep(&row.value);
            if !kept {
                places.remove(&row.id);
            }
            kept
        });
    }
}
