-- The trail as a chain: each entry's hash covers the hash of the one before it, and the head of each tenant's chain is
-- kept apart from the entries, so that a missing end is noticed. The empty hash marks a trail that is not chained yet:
-- the program does that when it opens the database, because SQLite cannot.
ALTER TABLE audit ADD COLUMN hash TEXT;

CREATE TABLE audit_heads (
    tenant TEXT NOT NULL PRIMARY KEY,
    seq    INTEGER NOT NULL,
    hash   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_heads (tenant, seq, hash) SELECT DISTINCT tenant, 0, '' FROM audit;
