-- The OpenAI groups and custom roles that grants speak of, as last seen upstream.
ALTER TABLE mappings ADD COLUMN effective_assignments TEXT NOT NULL DEFAULT '[]';

-- The mirror of OpenAI's groups, and of who is in them and has which custom role.
-- kind: group, role or project_role. project: the project of a role in one, else empty.
CREATE TABLE observed_groups (
    tenant          TEXT NOT NULL,
    id              TEXT NOT NULL,
    name            TEXT NOT NULL,
    is_scim_managed INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    gone_at         INTEGER,
    news            INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE observed_assignments (
    tenant  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    project TEXT NOT NULL,
    user_id TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    gone_at INTEGER,
    news    INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, id, project, user_id)
) STRICT;
CREATE INDEX observed_assignments_user ON observed_assignments (tenant, user_id);

-- The OpenAI group that the bridge keeps for a SCIM group. The row outlives the SCIM group until the OpenAI group is
-- gone; ended_at: since when the SCIM group is. open, sent_at: a call whose outcome is not known yet. refusals: calls that are not made at present, with the reason
-- and when to try again. projects: the roles in projects that the bridge gave to the group.
CREATE TABLE group_links (
    tenant    TEXT NOT NULL,
    group_id  TEXT NOT NULL,
    openai_id TEXT,
    bound_at  INTEGER,
    ended_at  INTEGER,
    open      TEXT,
    sent_at   INTEGER,
    refusals  TEXT NOT NULL,
    projects  TEXT NOT NULL,
    PRIMARY KEY (tenant, group_id)
) STRICT;
CREATE UNIQUE INDEX group_links_openai ON group_links (tenant, openai_id) WHERE openai_id IS NOT NULL;

-- As in the first step: what the planner should expect.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('observed_groups', 'sqlite_autoindex_observed_groups_1', '1000 1000 1'),
    ('observed_assignments', 'sqlite_autoindex_observed_assignments_1', '100000 100000 50000 500 500 1'),
    ('observed_assignments', 'observed_assignments_user', '100000 100000 2'),
    ('group_links', 'sqlite_autoindex_group_links_1', '1000 1000 1'),
    ('group_links', 'group_links_openai', '1000 1000 1');
