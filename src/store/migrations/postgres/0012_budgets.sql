-- What the calls of each endpoint have taught about its budget: how many may start within a minute, since when, until when
-- none may, and how many had started within the last minute at saved_at.
CREATE TABLE budgets (
    tenant       TEXT COLLATE "C" NOT NULL,
    endpoint     TEXT COLLATE "C" NOT NULL,
    allowed      BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    paused_until BIGINT,
    used         BIGINT NOT NULL,
    saved_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant, endpoint)
);

-- The OpenAI group that was kept for a SCIM group until somebody else deleted it.
ALTER TABLE group_links ADD COLUMN lost TEXT COLLATE "C";

-- When it was first told that a key is still live although its owner was removed.
ALTER TABLE credentials ADD COLUMN told_at BIGINT;
