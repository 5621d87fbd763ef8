-- What the engine keeps in mind about a person besides their ties: a document, read and written whole.
ALTER TABLE mappings ADD COLUMN upkeep TEXT NOT NULL DEFAULT '{}';
