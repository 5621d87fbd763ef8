-- Tenants: one connection of an identity provider, bound to one OpenAI organization.
CREATE TABLE tenants (
    id              TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT,
    created_at      INTEGER NOT NULL
) STRICT;

-- Facts about the database itself.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- People as the identity provider wishes them. A deleted person stays as a tombstone.
-- due_at, lane, attempts: when and how urgently the engine is to look at the person (NULL: nothing to do).
-- mark: counts the reasons to look, so that an engine cannot tick off what it has not seen.
CREATE TABLE people (
    tenant           TEXT NOT NULL,
    id               TEXT NOT NULL,
    user_name        TEXT NOT NULL,
    user_name_key    TEXT NOT NULL,
    external_id      TEXT,
    address          TEXT,
    address_key      TEXT,
    display_name_key TEXT,
    active           INTEGER NOT NULL CHECK (active IN (0, 1)),
    deleted_at       INTEGER,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    modified_at      INTEGER NOT NULL,
    attributes       TEXT NOT NULL,
    due_at           INTEGER,
    lane             INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX people_user_name ON people (tenant, user_name_key) WHERE deleted_at IS NULL;
CREATE INDEX people_live ON people (tenant, id, active, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX people_external_id ON people (tenant, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX people_address ON people (tenant, address_key) WHERE address_key IS NOT NULL;
CREATE INDEX people_display_name ON people (tenant, display_name_key) WHERE display_name_key IS NOT NULL;
CREATE INDEX people_modified ON people (tenant, modified_at);
CREATE INDEX people_agenda ON people (tenant, lane, due_at) WHERE due_at IS NOT NULL;

-- E-mail values beside the address in `people`; most people have none.
CREATE TABLE person_emails (
    tenant    TEXT NOT NULL,
    person    TEXT NOT NULL,
    email_key TEXT NOT NULL,
    PRIMARY KEY (tenant, person, email_key),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX person_emails_key ON person_emails (tenant, email_key);

-- The external-ID mapping table. One invite and one member stand for at most one person.
CREATE TABLE mappings (
    tenant             TEXT NOT NULL,
    person             TEXT NOT NULL,
    address            TEXT,
    address_key        TEXT,
    origin             TEXT NOT NULL,
    invite_id          TEXT,
    invite_expires_at  INTEGER,
    user_id            TEXT,
    former_user_id     TEXT,
    status             TEXT NOT NULL,
    status_reason      TEXT,
    effective_role     TEXT,
    effective_projects TEXT NOT NULL,
    last_synced_at     INTEGER,
    PRIMARY KEY (tenant, person),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX mappings_invite ON mappings (tenant, invite_id) WHERE invite_id IS NOT NULL;
CREATE UNIQUE INDEX mappings_user ON mappings (tenant, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX mappings_former_user ON mappings (tenant, former_user_id) WHERE former_user_id IS NOT NULL;
CREATE INDEX mappings_address ON mappings (tenant, address_key) WHERE address_key IS NOT NULL;
CREATE INDEX mappings_status ON mappings (tenant, status);

-- SCIM groups and who is in them: one row per membership, so that a change costs the same in a group of any size.
CREATE TABLE groups (
    tenant           TEXT NOT NULL,
    id               TEXT NOT NULL,
    display_name     TEXT NOT NULL,
    display_name_key TEXT NOT NULL,
    external_id      TEXT,
    version          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    modified_at      INTEGER NOT NULL,
    attributes       TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX groups_display_name ON groups (tenant, display_name_key);
CREATE INDEX groups_external_id ON groups (tenant, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE memberships (
    tenant   TEXT NOT NULL,
    group_id TEXT NOT NULL,
    member   TEXT NOT NULL,
    PRIMARY KEY (tenant, group_id, member),
    FOREIGN KEY (tenant, group_id) REFERENCES groups (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, member) REFERENCES people (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_member ON memberships (tenant, member);

-- Upstream calls on record. A person has at most one whose outcome is open.
CREATE TABLE operations (
    tenant              TEXT NOT NULL,
    id                  TEXT NOT NULL,
    person              TEXT NOT NULL,
    person_version      INTEGER NOT NULL,
    action              TEXT NOT NULL,
    reason              TEXT NOT NULL,
    state               TEXT NOT NULL,
    sent_at             INTEGER NOT NULL,
    settled_at          INTEGER,
    upstream_request_id TEXT,
    outcome             TEXT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX operations_person ON operations (tenant, person, id);
CREATE UNIQUE INDEX operations_open ON operations (tenant, person) WHERE state IN ('sending', 'unknown');

-- The mirror of the OpenAI side. news: 1 until a finished reading has told the people concerned.
-- gone_at: when it was learnt, outside a reading, that the object is gone; a page fetched earlier cannot revive it.
CREATE TABLE observed_members (
    tenant             TEXT NOT NULL,
    id                 TEXT NOT NULL,
    email              TEXT,
    email_key          TEXT,
    name               TEXT,
    role               TEXT,
    is_service_account INTEGER NOT NULL,
    is_scim_managed    INTEGER NOT NULL,
    is_default         INTEGER NOT NULL,
    added_at           INTEGER NOT NULL,
    seen_at            INTEGER NOT NULL,
    gone_at            INTEGER,
    news               INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX observed_members_email ON observed_members (tenant, email_key) WHERE email_key IS NOT NULL;
CREATE INDEX observed_members_owner ON observed_members (tenant) WHERE role = 'owner';

CREATE TABLE observed_invites (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    email      TEXT NOT NULL,
    email_key  TEXT NOT NULL,
    role       TEXT,
    status     TEXT NOT NULL,
    projects   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    seen_at    INTEGER NOT NULL,
    gone_at    INTEGER,
    news       INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX observed_invites_email ON observed_invites (tenant, email_key, created_at);

CREATE TABLE observed_project_members (
    tenant  TEXT NOT NULL,
    project TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role    TEXT,
    seen_at INTEGER NOT NULL,
    gone_at INTEGER,
    news    INTEGER NOT NULL,
    PRIMARY KEY (tenant, project, user_id)
) STRICT;
CREATE INDEX observed_project_members_user ON observed_project_members (tenant, user_id);

-- The last finished reading of each collection.
CREATE TABLE sweeps (
    tenant      TEXT NOT NULL,
    collection  TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (tenant, collection)
) STRICT;

-- The audit trail, numbered without gaps in each tenant.
CREATE TABLE audit (
    tenant  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    request TEXT,
    person  TEXT,
    event   TEXT NOT NULL,
    detail  TEXT NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_person ON audit (tenant, person, seq) WHERE person IS NOT NULL;

-- SCIM bearer tokens: the public id and the hash of the secret.
CREATE TABLE tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    tenant       TEXT NOT NULL,
    label        TEXT NOT NULL,
    secret_hash  BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX tokens_tenant ON tokens (tenant, created_at);

-- What the query planner should expect of a large directory: it cannot know while the tables are small, and would
-- take "all rows of the tenant" for a good bargain. The numbers: rows in all, then rows per value of the first column
-- (the tenant), of the first two, and so on.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('people', 'sqlite_autoindex_people_1', '100000 100000 1'),
    ('people', 'people_user_name', '100000 100000 1'),
    ('people', 'people_live', '100000 100000 1 1 1'),
    ('people', 'people_external_id', '100000 100000 2'),
    ('people', 'people_address', '100000 100000 2'),
    ('people', 'people_display_name', '100000 100000 2'),
    ('people', 'people_modified', '100000 100000 2'),
    ('people', 'people_agenda', '10000 10000 2000 1'),
    ('person_emails', 'person_emails', '10000 10000 2 1'),
    ('person_emails', 'person_emails_key', '10000 10000 2'),
    ('mappings', 'sqlite_autoindex_mappings_1', '100000 100000 1'),
    ('mappings', 'mappings_invite', '10000 10000 1'),
    ('mappings', 'mappings_user', '100000 100000 1'),
    ('mappings', 'mappings_former_user', '1000 1000 2'),
    ('mappings', 'mappings_address', '100000 100000 2'),
    ('mappings', 'mappings_status', '100000 100000 12500'),
    ('groups', 'sqlite_autoindex_groups_1', '1000 1000 1'),
    ('groups', 'groups_display_name', '1000 1000 1'),
    ('groups', 'groups_external_id', '1000 1000 1'),
    ('memberships', 'memberships', '500000 500000 500 1'),
    ('memberships', 'memberships_member', '500000 500000 5'),
    ('operations', 'sqlite_autoindex_operations_1', '500000 500000 1'),
    ('operations', 'operations_person', '500000 500000 5 1'),
    ('operations', 'operations_open', '100 100 1'),
    ('observed_members', 'sqlite_autoindex_observed_members_1', '100000 100000 1'),
    ('observed_members', 'observed_members_email', '100000 100000 2'),
    ('observed_members', 'observed_members_owner', '10 10'),
    ('observed_invites', 'sqlite_autoindex_observed_invites_1', '10000 10000 1'),
    ('observed_invites', 'observed_invites_email', '10000 10000 2 1'),
    ('observed_project_members', 'sqlite_autoindex_observed_project_members_1', '100000 100000 5000 1'),
    ('observed_project_members', 'observed_project_members_user', '100000 100000 2'),
    ('audit', 'audit', '1000000 1000000 1'),
    ('audit', 'audit_person', '1000000 1000000 10 1'),
    ('tokens', 'sqlite_autoindex_tokens_1', '10 1'),
    ('tokens', 'tokens_tenant', '10 10 1');
