-- What waits for a human is asked for by a person or by a group. A decision is about that version of the person, or about
-- that many people who lose something with the group.
ALTER TABLE holds
    ALTER COLUMN person DROP NOT NULL,
    ALTER COLUMN person_version DROP NOT NULL,
    ADD COLUMN group_id TEXT COLLATE "C",
    ADD COLUMN losers BIGINT,
    ADD FOREIGN KEY (tenant, group_id) REFERENCES group_links (tenant, group_id) ON DELETE CASCADE,
    ADD CHECK ((person IS NULL) <> (group_id IS NULL)),
    ADD CHECK ((person IS NULL) = (person_version IS NULL)),
    ADD CHECK ((group_id IS NULL) = (losers IS NULL));
DROP INDEX holds_person;
CREATE INDEX holds_person ON holds (tenant, person) WHERE person IS NOT NULL;
CREATE INDEX holds_group ON holds (tenant, group_id) WHERE group_id IS NOT NULL;
DROP INDEX holds_standing;
CREATE UNIQUE INDEX holds_standing ON holds (tenant, person, guard, subject)
    WHERE person IS NOT NULL AND state IN ('open', 'approved', 'rejected');
CREATE UNIQUE INDEX holds_standing_group ON holds (tenant, group_id, guard, subject)
    WHERE group_id IS NOT NULL AND state IN ('open', 'approved', 'rejected');

-- The id of the call about a group whose outcome is not known, by which guards know what it was counted as.
ALTER TABLE group_links ADD COLUMN operation TEXT COLLATE "C";

-- One row for each call and each person who loses something by it.
ALTER TABLE tallies
    DROP CONSTRAINT tallies_pkey,
    ADD PRIMARY KEY (tenant, operation, person);
