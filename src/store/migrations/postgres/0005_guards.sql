-- What guards count, one row for each call: those that take access away, and invites by address. takes: member, access
-- or invite. subject: the address key of an invite. A call that turned out to have no effect loses its row.
CREATE TABLE tallies (
    tenant    TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    person    TEXT COLLATE "C" NOT NULL,
    takes     TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C",
    at        BIGINT NOT NULL,
    approved  BIGINT NOT NULL,
    PRIMARY KEY (tenant, operation)
);
CREATE INDEX tallies_at ON tallies (tenant, at) WHERE takes <> 'invite';
CREATE INDEX tallies_subject ON tallies (tenant, subject, at) WHERE subject IS NOT NULL;

-- What waits for a human. operation: the call that used the approval.
CREATE TABLE holds (
    tenant         TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    person         TEXT COLLATE "C" NOT NULL,
    guard          TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C" NOT NULL,
    person_version BIGINT NOT NULL,
    reason         TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL,
    made_at        BIGINT NOT NULL,
    judged_at      BIGINT NOT NULL,
    decided_at     BIGINT,
    decided_by     TEXT COLLATE "C",
    decided_why    TEXT COLLATE "C",
    operation      TEXT COLLATE "C",
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, person) REFERENCES people (tenant, id) ON DELETE CASCADE
);
CREATE INDEX holds_person ON holds (tenant, person);
CREATE UNIQUE INDEX holds_standing ON holds (tenant, person, guard, subject)
    WHERE state IN ('open', 'approved', 'rejected');
CREATE INDEX holds_open ON holds (tenant, guard) WHERE state = 'open';
CREATE INDEX holds_operation ON holds (tenant, operation) WHERE operation IS NOT NULL;

-- What keeps engines from making any change: an administrator's word, or something wrong with the database. The tenant
-- * stands for all of them.
CREATE TABLE brakes (
    tenant TEXT COLLATE "C" NOT NULL,
    cause  TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    put_by TEXT COLLATE "C" NOT NULL,
    put_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, cause)
);

-- Alarms on their way out, and what has been told of each cause that is not over.
CREATE TABLE alarms (
    tenant  TEXT COLLATE "C" NOT NULL,
    seq     BIGINT NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    cause   TEXT COLLATE "C" NOT NULL,
    state   TEXT COLLATE "C" NOT NULL,
    size    BIGINT NOT NULL,
    text    TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE TABLE alarm_causes (
    tenant  TEXT COLLATE "C" NOT NULL,
    cause   TEXT COLLATE "C" NOT NULL,
    size    BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, cause)
);
