-- What guards count, one row for each call: those that take access away, and invites by address. takes: member, access
-- or invite. subject: the address key of an invite. A call that turned out to have no effect loses its row.
CREATE TABLE tallies (
    tenant    TEXT NOT NULL,
    operation TEXT NOT NULL,
    person    TEXT NOT NULL,
    takes     TEXT NOT NULL,
    subject   TEXT,
    at        INTEGER NOT NULL,
    approved  INTEGER NOT NULL,
    PRIMARY KEY (tenant, operation)
) STRICT, WITHOUT ROWID;
CREATE INDEX tallies_at ON tallies (tenant, at) WHERE takes <> 'invite';
CREATE INDEX tallies_subject ON tallies (tenant, subject, at) WHERE subject IS NOT NULL;

-- What waits for a human. operation: the call that used the approval.
CREATE TABLE holds (
    tenant         TEXT NOT NULL,
    id             TEXT NOT NULL,
    person         TEXT NOT NULL,
    guard          TEXT NOT NULL,
    subject        TEXT NOT NULL,
    person_version INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    state          TEXT NOT NULL,
    made_at        INTEGER NOT NULL,
    judged_at      INTEGER NOT NULL,
    decided_at     INTEGER,
    decided_by     TEXT,
    decided_why    TEXT,
    operation      TEXT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_person ON holds (tenant, person);
CREATE UNIQUE INDEX holds_standing ON holds (tenant, person, guard, subject)
    WHERE state IN ('open', 'approved', 'rejected');
CREATE INDEX holds_open ON holds (tenant, guard) WHERE state = 'open';
CREATE INDEX holds_operation ON holds (tenant, operation) WHERE operation IS NOT NULL;

-- What keeps engines from making any change: an administrator's word, or something wrong with the database. The tenant
-- * stands for all of them.
CREATE TABLE brakes (
    tenant TEXT NOT NULL,
    cause  TEXT NOT NULL,
    reason TEXT NOT NULL,
    put_by TEXT NOT NULL,
    put_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, cause)
) STRICT, WITHOUT ROWID;

-- Alarms on their way out, and what has been told of each cause that is not over.
CREATE TABLE alarms (
    tenant  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    id      TEXT NOT NULL,
    cause   TEXT NOT NULL,
    state   TEXT NOT NULL,
    size    INTEGER NOT NULL,
    text    TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm_causes (
    tenant  TEXT NOT NULL,
    cause   TEXT NOT NULL,
    size    INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, cause)
) STRICT, WITHOUT ROWID;

-- As in the first step: what the planner should expect.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('tallies', 'tallies', '100000 100000 1'),
    ('tallies', 'tallies_at', '10000 10000 2'),
    ('tallies', 'tallies_subject', '10000 10000 2 1'),
    ('holds', 'holds', '10000 10000 1'),
    ('holds', 'holds_person', '10000 10000 2'),
    ('holds', 'holds_standing', '1000 1000 2 2 1'),
    ('holds', 'holds_open', '1000 1000 200'),
    ('holds', 'holds_operation', '1000 1000 1');
