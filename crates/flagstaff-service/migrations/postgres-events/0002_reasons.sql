-- Why variations were served, from the evaluations that say so: the kind of the reason, and after a colon what
-- it names. No variation is -1.
CREATE TABLE reason_count (
    environment_id BIGINT NOT NULL,
    flag_key       TEXT COLLATE "C" NOT NULL,
    minute         BIGINT NOT NULL,
    variation      BIGINT NOT NULL,
    reason         TEXT COLLATE "C" NOT NULL,
    count          BIGINT NOT NULL,
    PRIMARY KEY (environment_id, flag_key, minute, variation, reason)
) WITH (fillfactor = 80);
CREATE INDEX reason_count_by_minute ON reason_count (minute);
