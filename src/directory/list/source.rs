//! A stretch of one type's resources: what the database can decide of filter and order it decides, the rest is
//! evaluated on the candidates.

use super::super::DirectoryError;
use super::super::compile::{Compiled, compile};
use super::{CHUNK, Entry, Found, Start, too_many};
use crate::scim::filter::{Field, ResolvedFilter};
use crate::scim::resource::Resource;
use crate::scim::schema::limits::{MAX_EXAMINED, MAX_SCANS};
use crate::scim::search::ResolvedQuery;
use crate::scim::sort::{Place, ResolvedSort, SortKey};
use crate::store::{Column, Key, Sequence, Spot};

type Answer<T> = Result<T, DirectoryError>;

/// Resources that are rows of a table.
pub(in crate::directory) trait Rows: Sync {
    /// What a resource is made of.
    type Row: Send + Sync;
    /// What filters are compiled to.
    type Condition: Compiled + Send + Sync;

    /// The name of the type.
    const NAME: &'static str;

    /// The column that the database sorts by for this attribute.
    fn column(field: &Field) -> Option<Column>;

    /// How many rows meet the condition.
    fn count(&self, condition: &Self::Condition) -> impl Future<Output = Answer<i64>> + Send;

    /// The rows that meet the condition, in this order, after the first `offset`, at most `limit`.
    fn page(
        &self,
        condition: &Self::Condition,
        sequence: Sequence,
        offset: i64,
        limit: i64,
    ) -> impl Future<Output = Answer<Vec<Self::Row>>> + Send;

    /// The rows that meet the condition, in this order, after a place, at most `limit`.
    fn scan(
        &self,
        condition: &Self::Condition,
        sequence: Sequence,
        after: Option<&Spot>,
        limit: usize,
    ) -> impl Future<Output = Answer<Vec<Self::Row>>> + Send;

    /// The resources with all that the query's filter and order look at.
    fn candidates(&self, rows: &[Self::Row]) -> impl Future<Output = Answer<Vec<Resource>>> + Send;

    /// The resources as they are answered.
    fn entries(&self, rows: &[Self::Row]) -> impl Future<Output = Answer<Vec<Entry>>> + Send;
}

/// A stretch of the rows that satisfy the query. The number of all is found out if it is wanted and either little work
/// or asked for with a page by index.
pub(in crate::directory) async fn seek<R: Rows>(
    rows: &R,
    query: &ResolvedQuery,
    start: &Start,
    limit: usize,
    want_total: bool,
) -> Answer<Found> {
    let filter = query.filter.as_ref();
    let (mut condition, mut is_exact) =
        filter.map_or((R::Condition::ALL, true), |filter| compile(R::NAME, filter));
    if condition.scans() > MAX_SCANS {
        (condition, is_exact) = (R::Condition::ALL, false);
    }
    let filter = filter.filter(|_| !is_exact);
    let Some(sequence) = sequence::<R>(&query.sort) else {
        return sort(rows, &condition, filter, &query.sort, start, limit).await;
    };
    let Stretch { found, total, reached } = match filter {
        None => read(rows, &condition, sequence, start, limit, want_total).await?,
        Some(filter) => pick(rows, &condition, filter, &query.sort, sequence, start, limit).await?,
    };
    let entries = rows.entries(&found).await?;
    let hits = entries.into_iter().map(|entry| (query.sort.place(&entry.resource), entry)).collect();
    Ok(Found { hits, total, reached })
}

/// The order as the database has it, if it has.
fn sequence<R: Rows>(sort: &ResolvedSort) -> Option<Sequence> {
    let by = sort.field.as_ref().map_or(Some(Column::Id), R::column)?;
    Some(Sequence { by, descending: sort.is_descending() })
}

/// A place as the database knows it.
fn spot(place: &Place) -> Spot {
    let key = match &place.key {
        Some(SortKey::Text(text)) => Some(Key::Text(text.clone())),
        Some(SortKey::Instant(instant)) => Some(Key::Time(*instant)),
        Some(SortKey::Boolean(_) | SortKey::Number(_)) | None => None,
    };
    Spot { key, id: place.id.clone() }
}

/// [`Found`], before the resources are made of their rows.
struct Stretch<Row> {
    found: Vec<Row>,
    total: Option<u64>,
    reached: Option<Place>,
}

/// A stretch that the database decides alone.
async fn read<R: Rows>(
    rows: &R,
    condition: &R::Condition,
    sequence: Sequence,
    start: &Start,
    limit: usize,
    want_total: bool,
) -> Answer<Stretch<R::Row>> {
    let total = if want_total { Some(rows.count(condition).await?.unsigned_abs()) } else { None };
    let found = match start {
        Start::Offset(offset) if limit == 0 || total.is_some_and(|total| *offset >= total) => Vec::new(),
        Start::Offset(offset) => {
            let (offset, limit) = (i64::try_from(*offset), i64::try_from(limit));
            rows.page(condition, sequence, offset.unwrap_or(i64::MAX), limit.unwrap_or(i64::MAX)).await?
        }
        Start::After(place) => {
            rows.scan(condition, sequence, place.as_ref().map(spot).as_ref(), limit).await?
        }
        Start::Before(place) => {
            let place = place.as_ref().map(spot);
            let mut found = rows.scan(condition, sequence.reversed(), place.as_ref(), limit).await?;
            found.reverse();
            found
        }
    };
    Ok(Stretch { found, total, reached: None })
}

/// How rows are gone through: those that meet the condition, in an order of the database's, from a place on; the filter
/// is evaluated on each.
struct Walk<'a, R: Rows> {
    rows: &'a R,
    condition: &'a R::Condition,
    filter: Option<&'a ResolvedFilter>,
    sequence: Sequence,
    /// The same order.
    sort: &'a ResolvedSort,
    after: Option<Spot>,
}

/// Where a walk ended.
#[derive(Debug)]
enum End {
    /// There was nothing more.
    Last,
    /// No more was wanted.
    Enough,
    /// There was more than may be looked at one by one; so far it came.
    TooFar(Option<Place>),
}

impl<R: Rows> Walk<'_, R> {
    /// Hands over what satisfies the filter, one by one, until no more is wanted; memory holds one chunk.
    async fn go(mut self, mut take: impl FnMut(R::Row, &Resource) -> bool) -> Answer<End> {
        let (mut examined, mut reached) = (0, None);
        loop {
            let limit = CHUNK.min(MAX_EXAMINED.saturating_add(1).saturating_sub(examined));
            let chunk = self.rows.scan(self.condition, self.sequence, self.after.as_ref(), limit).await?;
            let is_last = chunk.len() < limit;
            examined += chunk.len();
            if examined > MAX_EXAMINED {
                return Ok(End::TooFar(reached));
            }
            let candidates = self.rows.candidates(&chunk).await?;
            reached = candidates.last().map(|last| self.sort.place(last));
            self.after = reached.as_ref().map(spot);
            for (row, candidate) in chunk.into_iter().zip(&candidates) {
                if self.filter.is_none_or(|filter| filter.matches(candidate)) && !take(row, candidate) {
                    return Ok(End::Enough);
                }
            }
            if is_last {
                return Ok(End::Last);
            }
        }
    }
}

/// A stretch of an order of the database's by a filter that is evaluated on each row. All rows have to be counted for a
/// page by index, so there may be no more than [`MAX_EXAMINED`]; else the work ends with the stretch, or after so many.
async fn pick<R: Rows>(
    rows: &R,
    condition: &R::Condition,
    filter: &ResolvedFilter,
    sort: &ResolvedSort,
    sequence: Sequence,
    start: &Start,
    limit: usize,
) -> Answer<Stretch<R::Row>> {
    let (sequence, place, offset) = match start {
        Start::Offset(offset) => (sequence, None, *offset),
        Start::After(place) => (sequence, place.as_ref(), 0),
        Start::Before(place) => (sequence.reversed(), place.as_ref(), 0),
    };
    let is_counted = matches!(start, Start::Offset(_));
    let (mut found, mut total) = (Vec::new(), 0_u64);
    let walk = Walk { rows, condition, filter: Some(filter), sequence, sort, after: place.map(spot) };
    let end = walk.go(|row, _| {
        if total >= offset && found.len() < limit {
            found.push(row);
        }
        total = total.saturating_add(1);
        is_counted || found.len() < limit
    });
    let reached = match end.await? {
        End::TooFar(_) if is_counted => {
            return Err(too_many(&format!(
                "more than {MAX_EXAMINED} resources would have to be looked at one by one for this filter; narrow it by \
                 an attribute that is looked up, such as userName, externalId or emails, or turn the pages by cursor"
            )));
        }
        End::TooFar(reached) => reached,
        End::Last | End::Enough => None,
    };
    if matches!(start, Start::Before(_)) {
        found.reverse();
    }
    Ok(Stretch { found, total: is_counted.then_some(total), reached })
}

/// A stretch of an order that only the resources themselves tell. Memory holds a chunk and what may turn out to be of the
/// stretch; there are never more candidates than [`MAX_EXAMINED`].
async fn sort<R: Rows>(
    rows: &R,
    condition: &R::Condition,
    filter: Option<&ResolvedFilter>,
    order: &ResolvedSort,
    start: &Start,
    limit: usize,
) -> Answer<Found> {
    let mut window = Window::new(start, limit);
    let by_id = ResolvedSort::default();
    let walk = Walk { rows, condition, filter, sequence: Sequence::default(), sort: &by_id, after: None };
    let end = walk.go(|row, candidate| {
        window.add(order.place(candidate), row);
        true
    });
    if let End::TooFar(_) = end.await? {
        return Err(too_many(&format!(
            "more than {MAX_EXAMINED} resources would have to be sorted by this attribute; narrow the filter by an \
             attribute that is looked up, or sort by id, userName, displayName, externalId, meta.created or \
             meta.lastModified"
        )));
    }
    let total = Some(window.total);
    let (places, found): (Vec<Place>, Vec<R::Row>) = window.into_hits().into_iter().unzip();
    let entries = rows.entries(&found).await?;
    Ok(Found { hits: places.into_iter().zip(entries).collect(), total, reached: None })
}

/// Collects a stretch of an order from resources that come in any order.
#[derive(Debug)]
pub(in crate::directory) struct Window<'a, T> {
    start: &'a Start,
    limit: usize,
    kept: Vec<(Place, T)>,
    /// How many have come.
    pub(in crate::directory) total: u64,
}

impl<'a, T> Window<'a, T> {
    pub(in crate::directory) fn new(start: &'a Start, limit: usize) -> Self {
        Self { start, limit, kept: Vec::new(), total: 0 }
    }

    pub(in crate::directory) fn add(&mut self, place: Place, item: T) {
        self.total = self.total.saturating_add(1);
        let is_within = match self.start {
            Start::After(Some(start)) => place > *start,
            Start::Before(Some(start)) => place < *start,
            Start::Offset(_) | Start::After(None) | Start::Before(None) => true,
        };
        if is_within {
            self.kept.push((place, item));
        }
        if self.kept.len() >= self.room().saturating_mul(2).saturating_add(CHUNK) {
            self.prune();
        }
    }

    /// The stretch in its order.
    pub(in crate::directory) fn into_hits(mut self) -> Vec<(Place, T)> {
        self.prune();
        if let Start::Offset(offset) = self.start {
            let passed = usize::try_from(*offset).unwrap_or(usize::MAX).min(self.kept.len());
            self.kept.drain(..passed);
        }
        self.kept
    }

    /// How many may turn out to be of the stretch.
    fn room(&self) -> usize {
        match self.start {
            Start::Offset(offset) => {
                usize::try_from(*offset).unwrap_or(usize::MAX).saturating_add(self.limit)
            }
            Start::After(_) | Start::Before(_) => self.limit,
        }
    }

    fn prune(&mut self) {
        self.kept.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let room = self.room();
        if matches!(self.start, Start::Before(_)) {
            self.kept.drain(..self.kept.len().saturating_sub(room));
        } else {
            self.kept.truncate(room);
        }
    }
}
