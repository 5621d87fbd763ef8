-- The OpenAI groups and custom roles that grants speak of, as last seen upstream.
ALTER TABLE mappings ADD COLUMN effective_assignments TEXT COLLATE "C" NOT NULL DEFAULT '[]';

-- The mirror of OpenAI's groups, and of who is in them and has which custom role.
-- kind: group, role or project_role. project: the project of a role in one, else empty.
CREATE TABLE observed_groups (
    tenant          TEXT COLLATE "C" NOT NULL,
    id              TEXT COLLATE "C" NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    is_scim_managed BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    gone_at         BIGINT,
    news            BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE observed_assignments (
    tenant  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    gone_at BIGINT,
    news    BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind, id, project, user_id)
);
CREATE INDEX observed_assignments_user ON observed_assignments (tenant, user_id);

-- The OpenAI group that the bridge keeps for a SCIM group. The row outlives the SCIM group until the OpenAI group is
-- gone; ended_at: since when the SCIM group is. open, sent_at: a call whose outcome is not known yet. refusals: calls that are not made at present, with the reason
-- and when to try again. projects: the roles in projects that the bridge gave to the group.
CREATE TABLE group_links (
    tenant    TEXT COLLATE "C" NOT NULL,
    group_id  TEXT COLLATE "C" NOT NULL,
    openai_id TEXT COLLATE "C",
    bound_at  BIGINT,
    ended_at  BIGINT,
    open      TEXT COLLATE "C",
    sent_at   BIGINT,
    refusals  TEXT COLLATE "C" NOT NULL,
    projects  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, group_id)
);
CREATE UNIQUE INDEX group_links_openai ON group_links (tenant, openai_id) WHERE openai_id IS NOT NULL;
