-- API keys and service accounts of projects as last seen: who leaves may leave some behind.
CREATE TABLE credentials (
    tenant           TEXT NOT NULL,
    project          TEXT NOT NULL,
    kind             TEXT NOT NULL,
    id               TEXT NOT NULL,
    name             TEXT,
    owner            TEXT,
    owner_has_access INTEGER,
    created_at       INTEGER,
    last_used_at     INTEGER,
    first_seen_at    INTEGER NOT NULL,
    last_seen_at     INTEGER NOT NULL,
    gone_at          INTEGER,
    PRIMARY KEY (tenant, project, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_owner ON credentials (tenant, owner);

-- When the keys and service accounts of a project were first and last read completely.
CREATE TABLE credential_readings (
    tenant  TEXT NOT NULL,
    project TEXT NOT NULL,
    first_read_at INTEGER NOT NULL,
    read_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, project)
) STRICT, WITHOUT ROWID;
