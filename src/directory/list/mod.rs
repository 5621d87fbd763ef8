//! Lists: one page of what satisfies a query, of one type of resource or of several.
//!
//! A page is a stretch of an order, which [`source`] cuts out of one type's resources; here it is decided which stretch
//! a page is, and stretches of several types become one. Whatever the order, resources with equal keys are in the order
//! of their ids, so that every resource has one place, and a cursor is nothing but such a place: nothing is kept
//! between two pages.

mod cursor;
mod source;
mod users;

use cursor::Cursors;
pub(super) use source::{Rows, Window, seek};

use super::compile::{Compiled, compile};
use super::{Caller, Catalogue, Directory, DirectoryError, group_type, user_type};
use crate::ids::GroupId;
use crate::model::scope::Scope;
use crate::scim::cursor::Direction;
use crate::scim::error::{ScimError, ScimType};
use crate::scim::filter::{Comparand, CompareOp, Field};
use crate::scim::list::Page;
use crate::scim::resource::Resource;
use crate::scim::schema::ResourceType;
use crate::scim::schema::limits::MAX_EXAMINED;
use crate::scim::search::{Paging, Query, ResolvedQuery};
use crate::scim::sort::Place;

/// Candidates read at a time.
pub(super) const CHUNK: usize = 500;

/// A type of resource that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// People.
    Users,
    /// Groups.
    Groups,
    /// What access there is to give.
    Catalogue(Catalogue),
}

impl Kind {
    /// All of them: what a query without an endpoint is about (RFC 7644 §3.4.2.1).
    pub const ALL: [Self; 4] = [
        Self::Users,
        Self::Groups,
        Self::Catalogue(Catalogue::Roles),
        Self::Catalogue(Catalogue::Entitlements),
    ];

    /// What it takes to read them.
    fn scope(self) -> Scope {
        match self {
            Self::Users | Self::Catalogue(_) => Scope::UsersRead,
            Self::Groups => Scope::GroupsRead,
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Listing {
    /// How many resources satisfy the query on all pages; with cursors only where it costs little to know.
    pub total: Option<u64>,
    /// How the client goes on from here.
    pub turn: Turn,
    /// The resources.
    pub entries: Vec<Entry>,
}

/// How pages are turned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// By index: that of the first resource of this page.
    Index(u64),
    /// By cursor.
    Cursor {
        /// Where the next page begins, unless this is the last one.
        next: Option<String>,
        /// Where the page before lies, unless this is the first one.
        previous: Option<String>,
    },
}

/// A resource of a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its type.
    pub resource_type: &'static ResourceType,
    /// The whole resource, but for the members of a group; leaving attributes out is the caller's business.
    pub resource: Resource,
    /// The group whose members are missing.
    pub group: Option<GroupId>,
}

/// Which stretch of an order is wanted.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// What follows after so many.
    Offset(u64),
    /// What follows after a place, or the first.
    After(Option<Place>),
    /// What lies before a place, or the last.
    Before(Option<Place>),
}

/// A stretch of an order.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) hits: Vec<(Place, Entry)>,
    /// How many there are in all, if that is known.
    pub(super) total: Option<u64>,
    /// How far resources were looked at, where that ended before the stretch did.
    pub(super) reached: Option<Place>,
}

/// One type of a list, and the query as this type understands it.
struct Part {
    kind: Kind,
    query: ResolvedQuery,
}

impl Directory {
    /// The type of a kind of resource, as the caller's identity provider knows it.
    pub fn resource_type(&self, caller: &Caller, kind: Kind) -> &'static ResourceType {
        match kind {
            Kind::Users => user_type(),
            Kind::Groups => group_type(),
            Kind::Catalogue(catalogue) => self.catalogue_type(caller, catalogue),
        }
    }

    /// One page of the resources of these kinds that satisfy the query. Without an order they are in that of their
    /// ids, which for users and groups is that of their making.
    ///
    /// # Errors
    ///
    /// - 400 `invalidFilter`, 400 `invalidValue`, 403 `sensitive`: what the query asks cannot be asked of these kinds.
    /// - 400 `invalidCursor`, `expiredCursor`.
    /// - 403: the caller may not read all of these kinds.
    /// - 400 `tooMany`: more than [`MAX_EXAMINED`] resources would have to be looked at one by one. A page by cursor does
    ///   not ask for that because of a filter: where the work for it ends early, it is a short one.
    pub async fn list(
        &self,
        caller: &Caller,
        kinds: &[Kind],
        query: &Query,
    ) -> Result<Listing, DirectoryError> {
        for kind in kinds {
            caller.require(kind.scope())?;
        }
        let types: Vec<_> = kinds.iter().map(|kind| self.resource_type(caller, *kind)).collect();
        let (among, endpoint) = match types.as_slice() {
            [alone] => (&[][..], alone.endpoint.as_str()),
            types => (types, "/"),
        };
        let mut parts = Vec::new();
        for (kind, resource_type) in kinds.iter().zip(&types) {
            let part = Part { kind: *kind, query: query.resolve(resource_type, among)? };
            if part.may_have_any(&resource_type.name) {
                parts.push(part);
            }
        }
        match &query.paging {
            Paging::Index(page) => self.list_by_index(caller, &parts, *page).await,
            Paging::Cursor { cursor, count } => {
                let cursors = self.cursors(caller, endpoint, query);
                let start = match cursor {
                    None => Start::After(None),
                    Some(text) => cursors.read(text)?,
                };
                self.list_by_cursor(caller, &parts, start, to_usize(*count), &cursors).await
            }
        }
    }

    async fn list_by_index(
        &self,
        caller: &Caller,
        parts: &[Part],
        page: Page,
    ) -> Result<Listing, DirectoryError> {
        let (offset, count) = (page.offset(), to_usize(page.count));
        let found = if let [alone] = parts {
            self.seek(caller, alone, &Start::Offset(offset), count, true).await?
        } else {
            self.skip(caller, parts, offset, count).await?
        };
        Ok(Listing {
            total: found.total,
            turn: Turn::Index(page.start_index),
            entries: found.hits.into_iter().map(|(_, entry)| entry).collect(),
        })
    }

    /// A page of several types by index: as many as lie before it are passed over, page by page.
    async fn skip(
        &self,
        caller: &Caller,
        parts: &[Part],
        offset: u64,
        count: usize,
    ) -> Result<Found, DirectoryError> {
        let mut total = 0_u64;
        for part in parts {
            let found = self.seek(caller, part, &Start::Offset(0), 0, true).await?;
            total = total.saturating_add(found.total.unwrap_or_default());
        }
        let nothing = Found { total: Some(total), ..Found::default() };
        if count == 0 || offset >= total {
            return Ok(nothing);
        }
        let mut left = to_usize(offset);
        if left > MAX_EXAMINED {
            return Err(too_many(&format!(
                "startIndex goes to {MAX_EXAMINED} in a list of several types; turn its pages by cursor, or list one \
                 type at its own endpoint"
            )));
        }
        let mut start = Start::After(None);
        while left > 0 {
            let found = self.merge(caller, parts, &start, left.min(CHUNK), false).await?;
            let last = found.reached.as_ref().or(found.hits.last().map(|(place, _)| place));
            let Some(last) = last else { return Ok(nothing) };
            start = Start::After(Some(last.clone()));
            left = left.saturating_sub(found.hits.len());
        }
        let found = self.merge(caller, parts, &start, count, false).await?;
        Ok(Found { total: Some(total), ..found })
    }

    async fn list_by_cursor(
        &self,
        caller: &Caller,
        parts: &[Part],
        start: Start,
        count: usize,
        cursors: &Cursors,
    ) -> Result<Listing, DirectoryError> {
        // One more than the page tells whether there is another page.
        let Found { mut hits, total, reached } =
            self.merge(caller, parts, &start, count.saturating_add(1), true).await?;
        let is_more = hits.len() > count || reached.is_some();
        let is_backward = matches!(start, Start::Before(_));
        if is_backward && hits.len() > count {
            hits.remove(0);
        } else {
            hits.truncate(count);
        }
        // On an empty page the way back leads to the end, and the way on to the beginning: whoever was at the place
        // of the cursor is not passed over. Where nobody else was looked at, the page goes as far as they were.
        let (mut first, mut last) =
            (hits.first().map(|(place, _)| place), hits.last().map(|(place, _)| place));
        if let Some(reached) = &reached {
            if is_backward || first.is_none() {
                first = Some(reached);
            }
            if !is_backward || last.is_none() {
                last = Some(reached);
            }
        }
        let (next, previous) = match start {
            Start::Before(_) => (true, is_more),
            Start::After(place) => (is_more, place.is_some()),
            Start::Offset(_) => (is_more, false),
        };
        let turn = Turn::Cursor {
            next: next.then(|| cursors.write(last, Direction::Forward)),
            previous: previous.then(|| cursors.write(first, Direction::Backward)),
        };
        Ok(Listing { total, turn, entries: hits.into_iter().map(|(_, entry)| entry).collect() })
    }

    /// A stretch of the common order of several types.
    async fn merge(
        &self,
        caller: &Caller,
        parts: &[Part],
        start: &Start,
        limit: usize,
        want_total: bool,
    ) -> Result<Found, DirectoryError> {
        let mut window = Window::new(start, limit);
        let mut total = Some(0_u64);
        let mut reached: Option<Place> = None;
        let is_backward = matches!(start, Start::Before(_));
        for part in parts {
            let found = self.seek(caller, part, start, limit, want_total).await?;
            total = total.zip(found.total).map(|(sum, more)| sum.saturating_add(more));
            found.hits.into_iter().for_each(|(place, entry)| window.add(place, entry));
            reached = match (reached, found.reached) {
                (Some(one), Some(other)) => Some(if is_backward { one.max(other) } else { one.min(other) }),
                (one, other) => one.or(other),
            };
        }
        let mut hits = window.into_hits();
        if let Some(reached) = &reached {
            // Behind it there may be others, of the type that was not looked through.
            hits.retain(|(place, _)| if is_backward { place >= reached } else { place <= reached });
        }
        Ok(Found { reached: reached.filter(|_| hits.len() < limit), hits, total })
    }

    /// A stretch of one type.
    async fn seek(
        &self,
        caller: &Caller,
        part: &Part,
        start: &Start,
        limit: usize,
        want_total: bool,
    ) -> Result<Found, DirectoryError> {
        match part.kind {
            Kind::Users => self.seek_users(caller, &part.query, start, limit, want_total).await,
            Kind::Groups => self.seek_groups(caller, &part.query, start, limit, want_total).await,
            Kind::Catalogue(catalogue) => {
                self.seek_catalogue(caller, catalogue, &part.query, start, limit).await
            }
        }
    }
}

impl Part {
    /// Whether the filter can hold for anything of this type at all.
    fn may_have_any(&self, name: &str) -> bool {
        self.query.filter.as_ref().is_none_or(|filter| compile::<Chance>(name, filter).0 != Chance::None)
    }
}

/// All that can be said of a filter without asking the database.
#[derive(PartialEq)]
enum Chance {
    None,
    Some,
}

impl Compiled for Chance {
    const ALL: Self = Self::Some;
    const NOTHING: Self = Self::None;

    fn and(_: Vec<Self>) -> Self {
        Self::Some
    }

    fn or(_: Vec<Self>) -> Self {
        Self::Some
    }

    fn is_always_present(_: &Field) -> bool {
        false
    }

    fn compare(_: &Field, _: CompareOp, _: &Comparand) -> Option<(Self, bool)> {
        None
    }
}

/// 400 `tooMany` (RFC 7644 §3.12).
pub(super) fn too_many(detail: &str) -> DirectoryError {
    ScimError::bad_request(ScimType::TooMany, detail).into()
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
