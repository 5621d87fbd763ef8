-- What a token may do; those of before could do everything. `replaces` is the token that this one is to take the
-- place of.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE tokens ADD COLUMN replaces TEXT;

-- Clients of the token endpoint: proven by a secret, of which the hash is kept, or by a key, of which the public half is.
CREATE TABLE clients (
    id           TEXT NOT NULL PRIMARY KEY,
    tenant       TEXT NOT NULL,
    label        TEXT NOT NULL,
    secret_hash  BLOB,
    public_keys  TEXT,
    scopes       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX clients_tenant ON clients (tenant, created_at);

-- What must not be taken again until it has expired by itself: assertions that were shown, access tokens that were
-- revoked.
CREATE TABLE spent (
    client     TEXT NOT NULL,
    id         TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (client, id)
) STRICT;
CREATE INDEX spent_expired ON spent (expires_at);
