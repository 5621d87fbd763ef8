-- What waits for a human is asked for by a person or by a group. A decision is about that version of the person, or about
-- that many people who lose something with the group.
CREATE TABLE holds_of_all (
    tenant         TEXT NOT NULL,
    id             TEXT NOT NULL,
    person         TEXT,
    person_version INTEGER,
    group_id       TEXT,
    losers         INTEGER,
    guard          TEXT NOT NULL,
    subject        TEXT NOT NULL,
    reason         TEXT NOT NULL,
    state          TEXT NOT NULL,
    made_at        INTEGER NOT NULL,
    judged_at      INTEGER NOT NULL,
    decided_at     INTEGER,
    decided_by     TEXT,
    decided_why    TEXT,
    operation      TEXT,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, group_id) REFERENCES group_links (tenant, group_id) ON DELETE CASCADE,
    CHECK ((person IS NULL) <> (group_id IS NULL)),
    CHECK ((person IS NULL) = (person_version IS NULL)),
    CHECK ((group_id IS NULL) = (losers IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO holds_of_all (tenant, id, person, person_version, guard, subject, reason, state, made_at, judged_at,
                          decided_at, decided_by, decided_why, operation)
    SELECT tenant, id, person, person_version, guard, subject, reason, state, made_at, judged_at,
           decided_at, decided_by, decided_why, operation FROM holds;
DROP TABLE holds;
ALTER TABLE holds_of_all RENAME TO holds;
CREATE INDEX holds_person ON holds (tenant, person) WHERE person IS NOT NULL;
CREATE INDEX holds_group ON holds (tenant, group_id) WHERE group_id IS NOT NULL;
CREATE UNIQUE INDEX holds_standing ON holds (tenant, person, guard, subject)
    WHERE person IS NOT NULL AND state IN ('open', 'approved', 'rejected');
CREATE UNIQUE INDEX holds_standing_group ON holds (tenant, group_id, guard, subject)
    WHERE group_id IS NOT NULL AND state IN ('open', 'approved', 'rejected');
CREATE INDEX holds_open ON holds (tenant, guard) WHERE state = 'open';
CREATE INDEX holds_operation ON holds (tenant, operation) WHERE operation IS NOT NULL;

-- The id of the call about a group whose outcome is not known, by which guards know what it was counted as.
ALTER TABLE group_links ADD COLUMN operation TEXT;

-- One row for each call and each person who loses something by it.
CREATE TABLE tallies_of_each (
    tenant    TEXT NOT NULL,
    operation TEXT NOT NULL,
    person    TEXT NOT NULL,
    takes     TEXT NOT NULL,
    subject   TEXT,
    at        INTEGER NOT NULL,
    approved  INTEGER NOT NULL,
    PRIMARY KEY (tenant, operation, person)
) STRICT, WITHOUT ROWID;
INSERT INTO tallies_of_each (tenant, operation, person, takes, subject, at, approved)
    SELECT tenant, operation, person, takes, subject, at, approved FROM tallies;
DROP TABLE tallies;
ALTER TABLE tallies_of_each RENAME TO tallies;
CREATE INDEX tallies_at ON tallies (tenant, at) WHERE takes <> 'invite';
CREATE INDEX tallies_subject ON tallies (tenant, subject, at) WHERE subject IS NOT NULL;

-- What the query planner should expect of them in a large directory.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('holds', 'holds', '10000 10000 1'),
    ('holds', 'holds_person', '10000 10000 2'),
    ('holds', 'holds_group', '100 100 2'),
    ('holds', 'holds_standing', '1000 1000 2 2 1'),
    ('holds', 'holds_standing_group', '10 10 2 2 1'),
    ('holds', 'holds_open', '1000 1000 200'),
    ('holds', 'holds_operation', '1000 1000 1'),
    ('tallies', 'tallies', '100000 100000 2 1'),
    ('tallies', 'tallies_at', '10000 10000 2'),
    ('tallies', 'tallies_subject', '10000 10000 2 1');
