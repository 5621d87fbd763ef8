-- The mirror of what access can be given to. Nobody is planned for by it, so its news concern nobody; it has the
-- columns of the rest of the mirror because its readings end like all others.
CREATE TABLE observed_projects (
    tenant  TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C",
    seen_at BIGINT NOT NULL,
    gone_at BIGINT,
    news    BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE observed_roles (
    tenant        TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    description   TEXT COLLATE "C",
    is_predefined BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    gone_at       BIGINT,
    news          BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
