-- The mirror of what access can be given to. Nobody is planned for by it, so it carries no news of its own.
CREATE TABLE observed_projects (
    tenant  TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C",
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE observed_roles (
    tenant        TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    description   TEXT COLLATE "C",
    is_predefined BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
