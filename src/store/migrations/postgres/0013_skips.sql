-- A page far into a list passes over those before it. Whether they are live and active is to be seen in the index.
DROP INDEX people_display_name;
CREATE INDEX people_display_name ON people (tenant, display_name_key, id, active, deleted_at)
    WHERE display_name_key IS NOT NULL;
DROP INDEX people_no_display_name;
CREATE INDEX people_no_display_name ON people (tenant, id, display_name_key, active, deleted_at)
    WHERE (display_name_key IS NULL OR display_name_key = '');
DROP INDEX people_external_id;
CREATE INDEX people_external_id ON people (tenant, external_id, id, active, deleted_at) WHERE external_id IS NOT NULL;
DROP INDEX people_no_external_id;
CREATE INDEX people_no_external_id ON people (tenant, id, external_id, active, deleted_at)
    WHERE (external_id IS NULL OR external_id = '');
DROP INDEX people_modified;
CREATE INDEX people_modified ON people (tenant, modified_at, id, active, deleted_at);
DROP INDEX people_created;
CREATE INDEX people_created ON people (tenant, created_at, id, active, deleted_at);
