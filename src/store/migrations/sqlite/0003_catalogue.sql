-- The mirror of what access can be given to. Nobody is planned for by it, so its news concern nobody; it has the
-- columns of the rest of the mirror because its readings end like all others.
CREATE TABLE observed_projects (
    tenant  TEXT NOT NULL,
    id      TEXT NOT NULL,
    name    TEXT,
    seen_at INTEGER NOT NULL,
    gone_at INTEGER,
    news    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE observed_roles (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT,
    is_predefined INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    gone_at       INTEGER,
    news          INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
