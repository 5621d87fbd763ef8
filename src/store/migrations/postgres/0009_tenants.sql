-- Tenants that are set up in the database instead of in the settings file.
-- settings: their tables in TOML, as they would stand in a file. admin_key: sealed with the master key.
-- revision: grows with every change, so that a running server notices. disabled_at: kept, and not served since then.
ALTER TABLE tenants ADD COLUMN settings TEXT COLLATE "C";
ALTER TABLE tenants ADD COLUMN admin_key BYTEA;
ALTER TABLE tenants ADD COLUMN disabled_at BIGINT;
ALTER TABLE tenants ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
