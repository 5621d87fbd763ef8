-- API keys and service accounts of projects as last seen: who leaves may leave some behind.
CREATE TABLE credentials (
    tenant           TEXT COLLATE "C" NOT NULL,
    project          TEXT COLLATE "C" NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL,
    id               TEXT COLLATE "C" NOT NULL,
    name             TEXT COLLATE "C",
    owner            TEXT COLLATE "C",
    owner_has_access BIGINT,
    created_at       BIGINT,
    last_used_at     BIGINT,
    first_seen_at    BIGINT NOT NULL,
    last_seen_at     BIGINT NOT NULL,
    gone_at          BIGINT,
    PRIMARY KEY (tenant, project, kind, id)
);
CREATE INDEX credentials_owner ON credentials (tenant, owner);

-- When the keys and service accounts of a project were first and last read completely.
CREATE TABLE credential_readings (
    tenant  TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    first_read_at BIGINT NOT NULL,
    read_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, project)
);
