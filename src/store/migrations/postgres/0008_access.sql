-- What a token may do; those of before could do everything. `replaces` is the token that this one is to take the
-- place of.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT 'admin';
ALTER TABLE tokens ADD COLUMN replaces TEXT;

-- Clients of the token endpoint: proven by a secret, of which the hash is kept, or by a key, of which the public half is.
CREATE TABLE clients (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant       TEXT COLLATE "C" NOT NULL,
    label        TEXT NOT NULL,
    secret_hash  BYTEA,
    public_keys  TEXT,
    scopes       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    revoked_at   BIGINT,
    last_used_at BIGINT
);
CREATE INDEX clients_tenant ON clients (tenant, created_at);

-- What must not be taken again until it has expired by itself: assertions that were shown, access tokens that were
-- revoked.
CREATE TABLE spent (
    client     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (client, id)
);
CREATE INDEX spent_expired ON spent (expires_at);
