-- Who is in segments that are too large to be sent, and in which order that changed.

-- One filling of a segment. Ids are not given twice: members are deleted later than what they belong to.
CREATE TABLE big_segment (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    environment_id BIGINT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    key            TEXT NOT NULL,         -- the segment's
    generation     BIGINT NOT NULL,       -- the segment's
    included       BIGINT NOT NULL,       -- how many members are in
    excluded       BIGINT NOT NULL,       -- how many are kept out
    changed_at     BIGINT NOT NULL,
    ended_at       BIGINT,                -- when it was found that there is no such segment any more
    UNIQUE (environment_id, key, generation)
);

-- One context. It stays when it is taken out, so that whoever copied it can be told at any time.
CREATE TABLE big_segment_member (
    big_segment_id BIGINT NOT NULL,
    context_hash   BLOB NOT NULL,         -- SHA-256 of its key
    state          BIGINT NOT NULL,       -- 1 included, 2 excluded, 4 and 8 if that was ever so
    revision       BIGINT NOT NULL,       -- the environment's, at the last change
    import_id      BIGINT NOT NULL,       -- the import that named it last, or 0
    PRIMARY KEY (big_segment_id, context_hash)
) WITHOUT ROWID;
CREATE INDEX big_segment_member_by_revision ON big_segment_member (big_segment_id, revision);

-- How many changes of members an environment has seen.
CREATE TABLE big_segment_log (
    environment_id BIGINT PRIMARY KEY REFERENCES environment (id) ON DELETE CASCADE,
    revision       BIGINT NOT NULL
);

-- Which filling each of them was about; which members it was, they say themselves.
CREATE TABLE big_segment_revision (
    environment_id BIGINT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    revision       BIGINT NOT NULL,
    big_segment_id BIGINT NOT NULL,
    PRIMARY KEY (environment_id, revision)
) WITHOUT ROWID;

-- Files of keys that were sent.
CREATE TABLE big_segment_import (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    public_id      TEXT NOT NULL UNIQUE,
    big_segment_id BIGINT NOT NULL REFERENCES big_segment (id) ON DELETE CASCADE,
    mode           TEXT NOT NULL,         -- merge or replace
    status         TEXT NOT NULL,         -- in_progress, complete or stopped
    file_name      TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    touched_at     BIGINT NOT NULL        -- when the last members were taken from it
);
CREATE INDEX big_segment_import_by_segment ON big_segment_import (big_segment_id);
