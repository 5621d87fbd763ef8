-- What happened to resources, told to other systems until they have taken note of it (RFC 9967, RFC 8936, RFC 8935).
-- seq: the order of the commits. what: the events as in a token, by their URI; names of attributes and no values.
-- polled, pushed: what came of telling it each way; NULL until then.
CREATE TABLE events (
    tenant  TEXT COLLATE "C" NOT NULL,
    seq     BIGINT NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    txn     TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    what    TEXT COLLATE "C" NOT NULL,
    polled  TEXT COLLATE "C",
    pushed  TEXT COLLATE "C",
    PRIMARY KEY (tenant, seq)
);
CREATE UNIQUE INDEX events_id ON events (tenant, id);
CREATE INDEX events_unpolled ON events (tenant, seq) WHERE polled IS NULL;
CREATE INDEX events_unpushed ON events (tenant, seq) WHERE pushed IS NULL;

-- Requests whose client did not want to wait for the outcome. outcome: as an operation of a bulk answer
-- (RFC 7644 §3.7.3); event: the one that tells of it.
CREATE TABLE deferred_requests (
    tenant     TEXT COLLATE "C" NOT NULL,
    txn        TEXT COLLATE "C" NOT NULL,
    method     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    made_at    BIGINT NOT NULL,
    settled_at BIGINT,
    outcome    TEXT COLLATE "C",
    event      TEXT COLLATE "C",
    PRIMARY KEY (tenant, txn)
);
CREATE INDEX deferred_requests_open ON deferred_requests (tenant, made_at) WHERE settled_at IS NULL;
CREATE INDEX deferred_requests_settled ON deferred_requests (tenant, settled_at) WHERE settled_at IS NOT NULL;
