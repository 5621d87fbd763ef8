-- What the engine keeps in mind about a person besides their ties: a document, read and written whole.
ALTER TABLE mappings ADD COLUMN upkeep TEXT NOT NULL DEFAULT '{}';

-- met: whether a finished reading has taken note of the member, so that a newcomer is told of once.
ALTER TABLE observed_members ADD COLUMN met BIGINT NOT NULL DEFAULT 0 CHECK (met IN (0, 1));
UPDATE observed_members SET met = 1;
CREATE INDEX observed_members_unmet ON observed_members (tenant) WHERE met = 0;
