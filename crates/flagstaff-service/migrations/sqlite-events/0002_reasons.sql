-- Why variations were served, from the evaluations that say so: the kind of the reason, and after a colon what
-- it names. No variation is -1.
CREATE TABLE reason_count (
    environment_id INTEGER NOT NULL,
    flag_key       TEXT NOT NULL,
    minute         INTEGER NOT NULL,
    variation      INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    count          INTEGER NOT NULL,
    PRIMARY KEY (environment_id, flag_key, minute, variation, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX reason_count_by_minute ON reason_count (minute);
