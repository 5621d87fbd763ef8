-- Tenants: one connection of an identity provider, bound to one OpenAI organization.
CREATE TABLE tenants (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C",
    created_at      BIGINT NOT NULL
);

-- Facts about the database itself.
CREATE TABLE meta (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- People as the identity provider wishes them. A deleted person stays as a tombstone.
-- due_at, lane, attempts: when and how urgently the engine is to look at the person (NULL: nothing to do).
-- mark: counts the reasons to look, so that an engine cannot tick off what it has not seen.
CREATE TABLE people (
    tenant           TEXT COLLATE "C" NOT NULL,
    id               TEXT COLLATE "C" NOT NULL,
    user_name        TEXT COLLATE "C" NOT NULL,
    user_name_key    TEXT COLLATE "C" NOT NULL,
    external_id      TEXT COLLATE "C",
    address          TEXT COLLATE "C",
    address_key      TEXT COLLATE "C",
    display_name_key TEXT COLLATE "C",
    active           BIGINT NOT NULL CHECK (active IN (0, 1)),
    deleted_at       BIGINT,
    version          BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    modified_at      BIGINT NOT NULL,
    attributes       TEXT COLLATE "C" NOT NULL,
    due_at           BIGINT,
    lane             BIGINT NOT NULL,
    attempts         BIGINT NOT NULL,
    mark             BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX people_user_name ON people (tenant, user_name_key) WHERE deleted_at IS NULL;
CREATE INDEX people_live ON people (tenant, id, active, deleted_at) WHERE deleted_at IS NULL;
CREATE INDEX people_external_id ON people (tenant, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX people_address ON people (tenant, address_key) WHERE address_key IS NOT NULL;
CREATE INDEX people_display_name ON people (tenant, display_name_key) WHERE display_name_key IS NOT NULL;
CREATE INDEX people_modified ON people (tenant, modified_at);
CREATE INDEX people_agenda ON people (tenant, lane, due_at) WHERE due_at IS NOT NULL;

-- E-mail values beside the address in `people`; most people have none.
CREATE TABLE person_emails (
    tenant    TEXT COLLATE "C" NOT NULL,
    person    TEXT COLLATE "C" NOT NULL,
    email_key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, person, email_key),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
);
CREATE INDEX person_emails_key ON person_emails (tenant, email_key);

-- The external-ID mapping table. One invite and one member stand for at most one person.
CREATE TABLE mappings (
    tenant             TEXT COLLATE "C" NOT NULL,
    person             TEXT COLLATE "C" NOT NULL,
    address            TEXT COLLATE "C",
    address_key        TEXT COLLATE "C",
    origin             TEXT COLLATE "C" NOT NULL,
    invite_id          TEXT COLLATE "C",
    invite_expires_at  BIGINT,
    user_id            TEXT COLLATE "C",
    former_user_id     TEXT COLLATE "C",
    status             TEXT COLLATE "C" NOT NULL,
    status_reason      TEXT COLLATE "C",
    effective_role     TEXT COLLATE "C",
    effective_projects TEXT COLLATE "C" NOT NULL,
    last_synced_at     BIGINT,
    PRIMARY KEY (tenant, person),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX mappings_invite ON mappings (tenant, invite_id) WHERE invite_id IS NOT NULL;
CREATE UNIQUE INDEX mappings_user ON mappings (tenant, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX mappings_former_user ON mappings (tenant, former_user_id) WHERE former_user_id IS NOT NULL;
CREATE INDEX mappings_address ON mappings (tenant, address_key) WHERE address_key IS NOT NULL;
CREATE INDEX mappings_status ON mappings (tenant, status);

-- SCIM groups and who is in them: one row per membership, so that a change costs the same in a group of any size.
CREATE TABLE groups (
    tenant           TEXT COLLATE "C" NOT NULL,
    id               TEXT COLLATE "C" NOT NULL,
    display_name     TEXT COLLATE "C" NOT NULL,
    display_name_key TEXT COLLATE "C" NOT NULL,
    external_id      TEXT COLLATE "C",
    version          BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    modified_at      BIGINT NOT NULL,
    attributes       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX groups_display_name ON groups (tenant, display_name_key);
CREATE INDEX groups_external_id ON groups (tenant, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE memberships (
    tenant   TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C" NOT NULL,
    member   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, group_id, member),
    FOREIGN KEY (tenant, group_id) REFERENCES groups (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, member) REFERENCES people (tenant, id) ON DELETE CASCADE
);
CREATE INDEX memberships_member ON memberships (tenant, member);

-- Upstream calls on record. A person has at most one whose outcome is open.
CREATE TABLE operations (
    tenant              TEXT COLLATE "C" NOT NULL,
    id                  TEXT COLLATE "C" NOT NULL,
    person              TEXT COLLATE "C" NOT NULL,
    person_version      BIGINT NOT NULL,
    action              TEXT COLLATE "C" NOT NULL,
    reason              TEXT COLLATE "C" NOT NULL,
    state               TEXT COLLATE "C" NOT NULL,
    sent_at             BIGINT NOT NULL,
    settled_at          BIGINT,
    upstream_request_id TEXT COLLATE "C",
    outcome             TEXT COLLATE "C",
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
);
CREATE INDEX operations_person ON operations (tenant, person, id);
CREATE UNIQUE INDEX operations_open ON operations (tenant, person) WHERE state IN ('sending', 'unknown');

-- The mirror of the OpenAI side. news: 1 until a finished reading has told the people concerned.
-- gone_at: when it was learnt, outside a reading, that the object is gone; a page fetched earlier cannot revive it.
CREATE TABLE observed_members (
    tenant             TEXT COLLATE "C" NOT NULL,
    id                 TEXT COLLATE "C" NOT NULL,
    email              TEXT COLLATE "C",
    email_key          TEXT COLLATE "C",
    name               TEXT COLLATE "C",
    role               TEXT COLLATE "C",
    is_service_account BIGINT NOT NULL,
    is_scim_managed    BIGINT NOT NULL,
    is_default         BIGINT NOT NULL,
    added_at           BIGINT NOT NULL,
    seen_at            BIGINT NOT NULL,
    gone_at            BIGINT,
    news               BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX observed_members_email ON observed_members (tenant, email_key) WHERE email_key IS NOT NULL;
CREATE INDEX observed_members_owner ON observed_members (tenant) WHERE role = 'owner';

CREATE TABLE observed_invites (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C" NOT NULL,
    email_key  TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C",
    status     TEXT COLLATE "C" NOT NULL,
    projects   TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    seen_at    BIGINT NOT NULL,
    gone_at    BIGINT,
    news       BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX observed_invites_email ON observed_invites (tenant, email_key, created_at);

CREATE TABLE observed_project_members (
    tenant  TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    role    TEXT COLLATE "C",
    seen_at BIGINT NOT NULL,
    gone_at BIGINT,
    news    BIGINT NOT NULL,
    PRIMARY KEY (tenant, project, user_id)
);
CREATE INDEX observed_project_members_user ON observed_project_members (tenant, user_id);

-- The last finished reading of each collection.
CREATE TABLE sweeps (
    tenant      TEXT COLLATE "C" NOT NULL,
    collection  TEXT COLLATE "C" NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    count       BIGINT NOT NULL,
    PRIMARY KEY (tenant, collection)
);

-- The audit trail, numbered without gaps in each tenant.
CREATE TABLE audit (
    tenant  TEXT COLLATE "C" NOT NULL,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C",
    person  TEXT COLLATE "C",
    event   TEXT COLLATE "C" NOT NULL,
    detail  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, seq)
);
CREATE INDEX audit_person ON audit (tenant, person, seq) WHERE person IS NOT NULL;

-- SCIM bearer tokens: the public id and the hash of the secret.
CREATE TABLE tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant       TEXT COLLATE "C" NOT NULL,
    label        TEXT COLLATE "C" NOT NULL,
    secret_hash  BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX tokens_tenant ON tokens (tenant, created_at);
