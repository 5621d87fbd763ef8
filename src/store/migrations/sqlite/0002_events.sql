-- What happened to resources, told to other systems until they have taken note of it (RFC 9967, RFC 8936, RFC 8935).
-- seq: the order of the commits. what: the events as in a token, by their URI; names of attributes and no values.
-- polled, pushed: what came of telling it each way; NULL until then.
CREATE TABLE events (
    tenant  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    id      TEXT NOT NULL,
    txn     TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    subject TEXT NOT NULL,
    what    TEXT NOT NULL,
    polled  TEXT,
    pushed  TEXT,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_id ON events (tenant, id);
CREATE INDEX events_unpolled ON events (tenant, seq) WHERE polled IS NULL;
CREATE INDEX events_unpushed ON events (tenant, seq) WHERE pushed IS NULL;

-- Requests whose client did not want to wait for the outcome. outcome: as an operation of a bulk answer
-- (RFC 7644 §3.7.3); event: the one that tells of it.
CREATE TABLE deferred_requests (
    tenant     TEXT NOT NULL,
    txn        TEXT NOT NULL,
    method     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    version    INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    settled_at INTEGER,
    outcome    TEXT,
    event      TEXT,
    PRIMARY KEY (tenant, txn)
) STRICT;
CREATE INDEX deferred_requests_open ON deferred_requests (tenant, made_at) WHERE settled_at IS NULL;
CREATE INDEX deferred_requests_settled ON deferred_requests (tenant, settled_at) WHERE settled_at IS NOT NULL;

-- As in the first step: what the planner should expect.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('events', 'events', '100000 100000 1'),
    ('events', 'events_id', '100000 100000 1'),
    ('events', 'events_unpolled', '1000 1000 1'),
    ('events', 'events_unpushed', '1000 1000 1'),
    ('deferred_requests', 'sqlite_autoindex_deferred_requests_1', '100000 100000 1'),
    ('deferred_requests', 'deferred_requests_open', '100 100 2'),
    ('deferred_requests', 'deferred_requests_settled', '100000 100000 2');
