//! Lists that come in pages: one shape for both paging schemes, and a walk that knows whether it saw everything.

use std::collections::BTreeSet;
use std::future::Future;

use serde::{Deserialize, Deserializer};

use crate::openai::client::Answer;
use crate::openai::failure::{Failure, FailureKind};

/// A list of more pages than this is not walked to its end.
const MAX_PAGES: usize = 1000;

/// One page of a list.
///
/// Some lists name the next page by the last object's id, others by a cursor of their own; `next` is what to send as
/// `after` in either case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The objects, in the order they came.
    pub data: Vec<T>,
    /// What to ask for next; none on the last page.
    pub next: Option<String>,
}

/// A thing with an id, as every object in a list has one.
pub trait Item {
    /// The object's id.
    fn id(&self) -> &str;
}

impl<'de, T: Item + Deserialize<'de>> Deserialize<'de> for Page<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<T> {
            data: Vec<T>,
            has_more: bool,
            last_id: Option<String>,
            next: Option<String>,
        }
        let wire: Wire<T> = Wire::deserialize(deserializer)?;
        let last = || wire.data.last().map(|item| item.id().to_owned());
        // More is promised but nothing leads there: an empty cursor, which no walk follows.
        let next = wire.has_more.then(|| wire.next.or(wire.last_id).or_else(last).unwrap_or_default());
        Ok(Self { data: wire.data, next })
    }
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every page was seen, and no object twice: absence from the list means something.
    Complete,
    /// The pages contradict each other: presence may be believed, absence not. The reason is for the log.
    Broken(&'static str),
}

/// A walk through a list from its first page to its last. It can be interrupted by a failure, such as a used-up
/// budget, and goes on from there at the next call of [`Walk::run`].
#[derive(Debug, Clone)]
pub struct Walk<T> {
    items: Vec<T>,
    ids: BTreeSet<String>,
    cursors: BTreeSet<String>,
    after: Option<String>,
    restarted: bool,
    end: Option<End>,
}

impl<T: Item> Walk<T> {
    /// A walk that has not begun.
    pub fn new() -> Self {
        Self {
            items: Vec::new(),
            ids: BTreeSet::new(),
            cursors: BTreeSet::new(),
            after: None,
            restarted: false,
            end: None,
        }
    }

    /// Fetches page after page until the end or a failure; `fetch` gets what to send as `after`.
    ///
    /// # Errors
    /// As [`Walk::step`].
    pub async fn run<F, Fut>(&mut self, mut fetch: F) -> Result<End, Failure>
    where
        F: FnMut(Option<String>) -> Fut,
        Fut: Future<Output = Result<Answer<Page<T>>, Failure>>,
    {
        loop {
            if let Some(end) = self.step(&mut fetch).await? {
                return Ok(end);
            }
        }
    }

    /// Fetches the next page, if there is one, and tells whether that was the end; `fetch` gets what to send as `after`.
    ///
    /// # Errors
    /// Whatever `fetch` failed with; the walk keeps its place. The one exception is a 404 of a cursor, whose object
    /// was deleted between two pages: the walk then starts over, once.
    pub async fn step<F, Fut>(&mut self, fetch: F) -> Result<Option<End>, Failure>
    where
        F: FnOnce(Option<String>) -> Fut,
        Fut: Future<Output = Result<Answer<Page<T>>, Failure>>,
    {
        if self.end.is_none() {
            match fetch(self.after.clone()).await {
                Ok(answer) => self.add(answer.value),
                Err(failure) if failure.kind == FailureKind::NotFound && self.after.is_some() => {
                    self.start_over();
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(self.end)
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Everything seen so far, each id once.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Everything seen, each id once.
    pub fn into_items(self) -> Vec<T> {
        self.items
    }

    fn add(&mut self, page: Page<T>) {
        let was_empty = page.data.is_empty();
        let mut repeated = false;
        for item in page.data {
            if self.ids.insert(item.id().to_owned()) {
                self.items.push(item);
            } else {
                repeated = true;
            }
        }
        self.end = match page.next {
            _ if repeated => Some(End::Broken("an object came twice")),
            None => Some(End::Complete),
            Some(_) if was_empty => Some(End::Broken("an empty page promised more")),
            Some(next) if next.is_empty() => Some(End::Broken("more was promised without a cursor")),
            Some(next) if !self.cursors.insert(next.clone()) => Some(End::Broken("a cursor came twice")),
            Some(_) if self.cursors.len() >= MAX_PAGES => Some(End::Broken("too many pages")),
            Some(next) => {
                self.after = Some(next);
                None
            }
        };
    }

    fn start_over(&mut self) {
        let again = self.restarted;
        *self = Self::new();
        self.restarted = true;
        if again {
            self.end = Some(End::Broken("the list changed under the walk twice"));
        }
    }
}

impl<T: Item> Default for Walk<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;
    use crate::openai::wire;

    fn page(body: &str) -> Page<wire::Project> {
        serde_json::from_str(body).unwrap()
    }

    fn ids(range: std::ops::Range<u32>) -> String {
        let items: Vec<String> = range.map(|n| format!(r#"{{"id":"proj_{n}"}}"#)).collect();
        items.join(",")
    }

    fn not_found() -> Failure {
        Failure::unanswered(FailureKind::NotFound, String::new())
    }

    /// Walks over prepared answers; returns the cursors asked for, the end and how many objects were seen.
    async fn walk(answers: Vec<Result<String, Failure>>) -> (Vec<Option<String>>, End, usize) {
        let (mut answers, mut asked) = (answers.into_iter(), Vec::new());
        let mut walk = Walk::<wire::Project>::new();
        let end = walk.run(|after| {
            asked.push(after);
            let answer = answers.next().unwrap();
            ready(answer.map(|body| Answer { value: page(&body), request_id: None }))
        });
        let end = end.await.unwrap();
        (asked, end, walk.items().len())
    }

    #[test]
    fn both_paging_schemes_have_one_shape() {
        let by_id = r#"{"object":"list","data":[{"id":"proj_1"}],"first_id":"proj_1","last_id":"proj_1","has_more":true}"#;
        let by_cursor = r#"{"object":"list","data":[{"id":"proj_1"}],"has_more":true,"next":"c2"}"#;
        let neither = r#"{"data":[{"id":"proj_1"}],"last_id":null,"has_more":true}"#;
        let last = r#"{"data":[],"first_id":null,"last_id":null,"next":null,"has_more":false}"#;
        assert_eq!(page(by_id).next.as_deref(), Some("proj_1"));
        assert_eq!(page(by_cursor).next.as_deref(), Some("c2"));
        assert_eq!(page(neither).next.as_deref(), Some("proj_1"));
        assert_eq!(page(last).next, None);
        assert!(serde_json::from_str::<Page<wire::Project>>(r#"{"data":[]}"#).is_err());
    }

    #[tokio::test]
    async fn a_walk_is_complete_when_the_last_page_says_so() {
        let first = format!(r#"{{"data":[{}],"has_more":true,"last_id":"proj_2"}}"#, ids(1..3));
        let second = format!(r#"{{"data":[{}],"has_more":false,"last_id":"proj_3"}}"#, ids(3..4));
        let (asked, end, count) = walk(vec![Ok(first), Ok(second)]).await;
        assert_eq!((end, count), (End::Complete, 3));
        assert_eq!(asked, [None, Some("proj_2".to_owned())]);
    }

    #[tokio::test]
    async fn pages_that_contradict_each_other_break_the_walk() {
        let first = format!(r#"{{"data":[{}],"has_more":true}}"#, ids(1..3));
        let empty = r#"{"data":[],"has_more":true,"next":"x"}"#.to_owned();
        let looped = format!(r#"{{"data":[{}],"has_more":true,"next":"proj_2"}}"#, ids(5..6));
        for second in [empty, looped, first.clone()] {
            let (_, end, _) = walk(vec![Ok(first.clone()), Ok(second)]).await;
            assert!(matches!(end, End::Broken(_)), "{end:?}");
        }
    }

    #[tokio::test]
    async fn a_lost_cursor_restarts_the_walk_once() {
        let first = format!(r#"{{"data":[{}],"has_more":true}}"#, ids(1..3));
        let whole = format!(r#"{{"data":[{}],"has_more":false}}"#, ids(2..3));
        let (_, end, count) = walk(vec![Ok(first.clone()), Err(not_found()), Ok(whole)]).await;
        assert_eq!((end, count), (End::Complete, 1));
        let (_, end, _) = walk(vec![Ok(first.clone()), Err(not_found()), Ok(first), Err(not_found())]).await;
        assert!(matches!(end, End::Broken(_)), "{end:?}");
    }

    #[tokio::test]
    async fn a_walk_goes_on_where_a_failure_stopped_it() {
        let mut walk = Walk::<wire::Project>::new();
        let mut answers = vec![
            Ok(format!(r#"{{"data":[{}],"has_more":true}}"#, ids(1..3))),
            Err(Failure::unanswered(FailureKind::NotSent, String::new())),
            Ok(format!(r#"{{"data":[{}],"has_more":false}}"#, ids(3..4))),
        ]
        .into_iter();
        let mut fetch = |_after: Option<String>| {
            ready(answers.next().unwrap().map(|body| Answer { value: page(&body), request_id: None }))
        };
        assert!(walk.run(&mut fetch).await.is_err());
        assert_eq!(walk.run(&mut fetch).await.unwrap(), End::Complete);
        assert_eq!(walk.into_items().len(), 3);
    }

    #[tokio::test]
    async fn a_404_of_the_whole_list_is_no_lost_cursor() {
        let mut walk = Walk::<wire::Project>::new();
        let failure = walk.run(|_| ready(Err(not_found()))).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NotFound);
    }
}
