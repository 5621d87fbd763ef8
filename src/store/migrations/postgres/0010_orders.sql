-- Lists are in the order of an attribute and, among equal values, of the id. An index that holds both gives a page
-- wherever it begins, without sorting. Who has no value comes in the order of the id alone.
DROP INDEX people_display_name;
CREATE INDEX people_display_name ON people (tenant, display_name_key, id) WHERE display_name_key IS NOT NULL;
CREATE INDEX people_no_display_name ON people (tenant, id) WHERE (display_name_key IS NULL OR display_name_key = '');
DROP INDEX people_external_id;
CREATE INDEX people_external_id ON people (tenant, external_id, id) WHERE external_id IS NOT NULL;
CREATE INDEX people_no_external_id ON people (tenant, id) WHERE (external_id IS NULL OR external_id = '');
DROP INDEX people_modified;
CREATE INDEX people_modified ON people (tenant, modified_at, id);
CREATE INDEX people_created ON people (tenant, created_at, id);
