//! The end of a reading: what it did not see is forgotten, and the people concerned by its news become due.
//!
//! All of it happens in the database, so the memory it takes does not grow with the directory.

use jiff::Timestamp;

use super::row::Row;
use super::session::{Statement, sql};
use super::{Reader, StoreError, Tx};
use crate::ids::TenantId;
use crate::model::observed::{Collection, Sweep};

/// The name a collection's reading is kept under.
fn collection_name(collection: &Collection) -> String {
    match collection {
        Collection::Members => "members".to_owned(),
        Collection::Invites => "invites".to_owned(),
        Collection::ProjectMembers(project) => format!("project_members:{project}"),
        Collection::Projects => "projects".to_owned(),
        Collection::Roles => "roles".to_owned(),
        Collection::Groups => "groups".to_owned(),
        Collection::GroupMembers(group) => format!("group_members:{group}"),
    }
}

impl Reader {
    /// The last finished reading of a collection.
    pub async fn last_sweep(
        &mut self,
        tenant: &TenantId,
        collection: &Collection,
    ) -> Result<Option<Sweep>, StoreError> {
        let row = self
            .fetch_optional(
                sql(
                    "SELECT started_at, finished_at, count FROM sweeps WHERE tenant = $1 AND collection = $2",
                )
                .bind(tenant.as_str())
                .bind(collection_name(collection)),
            )
            .await?;
        row.map(|row| {
            let row = Row(&row);
            Ok(Sweep {
                started_at: row.time("started_at")?,
                finished_at: row.time("finished_at")?,
                count: row.int("count")?,
            })
        })
        .transpose()
    }

    /// How many objects of a collection were learnt to be gone outside a reading, at `since` or later: our own
    /// removals, and what a look at one object showed.
    pub async fn count_gone(
        &mut self,
        tenant: &TenantId,
        collection: &Collection,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let reading = Reading { tenant, collection, started_at: since.as_microsecond() };
        let row = self.fetch_one(reading.statement(reading.texts().count_gone)).await?;
        Row(&row).int("count")
    }
}

impl Tx {
    /// Ends a complete and plausible reading: forgets what was not seen since it began, and makes everybody due at
    /// `now` whose invite, member or project membership appeared, changed or vanished in it, or since the reading
    /// before. Returns how many became due.
    ///
    /// `Stale`, without any effect, when fewer than `sweep.count` objects were seen since `sweep.started_at`: then
    /// the clock was set back meanwhile, and what is missing proves nothing.
    pub async fn finish_sweep(
        &mut self,
        tenant: &TenantId,
        collection: &Collection,
        sweep: Sweep,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let reading = Reading { tenant, collection, started_at: sweep.started_at.as_microsecond() };
        let row = self.fetch_one(reading.statement(reading.texts().count_seen)).await?;
        if Row(&row).int("count")? < sweep.count {
            return Err(self.stale());
        }
        let due =
            self.execute(reading.statement(reading.texts().make_due).bind(now.as_microsecond())).await?;
        self.execute(reading.statement(reading.texts().delete_unseen)).await?;
        self.execute(reading.statement(reading.texts().clear_news)).await?;
        self.execute(
            sql("INSERT INTO sweeps (tenant, collection, started_at, finished_at, count)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (tenant, collection) DO UPDATE SET started_at = excluded.started_at,
                    finished_at = excluded.finished_at, count = excluded.count")
            .bind(tenant.as_str())
            .bind(collection_name(collection))
            .bind(sweep.started_at.as_microsecond())
            .bind(sweep.finished_at.as_microsecond())
            .bind(sweep.count),
        )
        .await?;
        Ok(due)
    }
}

/// A reading that ends.
struct Reading<'r> {
    tenant: &'r TenantId,
    collection: &'r Collection,
    started_at: i64,
}

/// The statements about a reading and its end. `$1` is the tenant, `$2` when it began, `$3` the project or group (for
/// the members of one; empty otherwise), `$4` the present time.
struct Texts {
    count_seen: &'static str,
    count_gone: &'static str,
    make_due: &'static str,
    delete_unseen: &'static str,
    clear_news: &'static str,
}

impl Reading<'_> {
    fn statement(&self, text: &'static str) -> Statement<'_> {
        let project = match self.collection {
            Collection::ProjectMembers(project) => project.as_str(),
            Collection::GroupMembers(group) => group.as_str(),
            _ => "",
        };
        sql(text).bind(self.tenant.as_str()).bind(self.started_at).bind(project)
    }

    fn texts(&self) -> &'static Texts {
        match self.collection {
            Collection::Members => &MEMBERS,
            Collection::Invites => &INVITES,
            Collection::ProjectMembers(_) => &PROJECT_MEMBERS,
            Collection::Projects => &PROJECTS,
            Collection::Roles => &ROLES,
            Collection::Groups => &GROUPS,
            Collection::GroupMembers(_) => &GROUP_MEMBERS,
        }
    }
}

/// The statements over one table. `$scope` limits it to the collection and mentions every parameter, because
/// PostgreSQL wants to know the type of each.
macro_rules! texts {
    ($table:literal, $scope:literal, $concerned:literal) => {
        Texts {
            count_seen: concat!(
                "SELECT COUNT(*) AS count FROM ", $table, " WHERE ", $scope,
                " AND (seen_at >= $2 OR gone_at >= $2)"
            ),
            count_gone: concat!(
                "SELECT COUNT(*) AS count FROM ", $table, " WHERE ", $scope, " AND gone_at >= $2"
            ),
            make_due: concat!(
                "WITH news AS (SELECT * FROM ", $table, " WHERE ", $scope,
                " AND (news = 1 OR (gone_at IS NULL AND seen_at < $2)))
                 UPDATE people SET
                    due_at = CASE WHEN due_at <= $4 THEN due_at ELSE $4 END,
                    lane = CASE
                        WHEN due_at IS NOT NULL AND lane < CASE WHEN active = 0 OR deleted_at IS NOT NULL THEN 0 ELSE 3 END
                            THEN lane
                        WHEN active = 0 OR deleted_at IS NOT NULL THEN 0
                        ELSE 3 END,
                    mark = mark + 1
                 WHERE tenant = $1 AND id IN (", $concerned, ")"
            ),
            delete_unseen: concat!(
                "DELETE FROM ", $table, " WHERE ", $scope,
                " AND ((gone_at IS NULL AND seen_at < $2) OR gone_at < $2)"
            ),
            clear_news: concat!("UPDATE ", $table, " SET news = 0 WHERE ", $scope, " AND news = 1"),
        }
    };
}

/// Concerned are those who are or were bound to the member, and those whose address is the member's.
const MEMBERS: Texts = texts!(
    "observed_members",
    "tenant = $1 AND $2 = $2 AND $3 = ''",
    "SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.user_id = news.id
     UNION SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.former_user_id = news.id
     UNION SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.address_key = news.email_key
     UNION SELECT p.id FROM news JOIN people AS p ON p.tenant = $1 AND p.address_key = news.email_key"
);

/// Concerned are those who are bound to the invite, those whose address is the invite's, and those for whom it was sent at
/// about that time, without effect as it seemed: their address may be another one since. And those who were bound to an
/// invite just when it was withdrawn for somebody else.
const INVITES: Texts = texts!(
    "observed_invites",
    "tenant = $1 AND $2 = $2 AND $3 = ''",
    "SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.invite_id = news.id
     UNION SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.address_key = news.email_key
     UNION SELECT p.id FROM news JOIN people AS p ON p.tenant = $1 AND p.address_key = news.email_key
     UNION SELECT o.person FROM news JOIN operations AS o ON o.tenant = $1 AND o.state = 'failed'
         AND o.sent_at <= news.created_at + 300000000
         AND COALESCE(o.unanswered_at, o.sent_at) >= news.created_at - 300000000
         AND LOWER(o.action) LIKE '%\"address\":\"' || news.email_key || '\"%'
     UNION SELECT m.person FROM observed_invites AS i JOIN mappings AS m ON m.tenant = $1 AND m.invite_id = i.id
         WHERE i.tenant = $1 AND i.gone_at IS NOT NULL"
);

/// Concerned are those who are bound to the member.
const PROJECT_MEMBERS: Texts = texts!(
    "observed_project_members",
    "tenant = $1 AND $2 = $2 AND project = $3",
    "SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.user_id = news.user_id"
);

/// Nobody is planned for by the catalogue.
const PROJECTS: Texts =
    texts!("observed_projects", "tenant = $1 AND $2 = $2 AND $3 = ''", "SELECT id FROM news WHERE 1 = 0");

const ROLES: Texts =
    texts!("observed_roles", "tenant = $1 AND $2 = $2 AND $3 = ''", "SELECT id FROM news WHERE 1 = 0");

const GROUPS: Texts =
    texts!("observed_groups", "tenant = $1 AND $2 = $2 AND $3 = ''", "SELECT id FROM news WHERE 1 = 0");

const GROUP_MEMBERS: Texts = texts!(
    "observed_assignments",
    "tenant = $1 AND $2 = $2 AND kind = 'group' AND id = $3",
    "SELECT m.person FROM news JOIN mappings AS m ON m.tenant = $1 AND m.user_id = news.user_id"
);
