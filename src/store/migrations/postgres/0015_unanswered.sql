-- When waiting for an answer to a call ended without one: until then it may have been under way.
ALTER TABLE operations ADD COLUMN unanswered_at BIGINT;
ALTER TABLE group_links ADD COLUMN unanswered_at BIGINT;

-- By which an invite that appears late is told from one that others sent.
CREATE INDEX operations_failed ON operations (tenant, COALESCE(unanswered_at, sent_at)) WHERE state = 'failed';

-- The first reading that did not show the group that an unanswered call would have made.
ALTER TABLE group_links ADD COLUMN missed_at BIGINT;
