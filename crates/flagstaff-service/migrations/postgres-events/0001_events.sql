-- What SDKs report, and what it adds up to, in the database that holds the flags, too; no table has a name
-- of theirs. Instants are Unix milliseconds, minutes are Unix minutes, structures are JSON text.
-- Texts compare bytewise, whatever the database's own order of letters.

-- Payload ids of the last day, as the first half of a SHA-256: the same payload sent again is not stored.
CREATE TABLE payload (
    hash        BYTEA PRIMARY KEY,
    received_at BIGINT NOT NULL
);
CREATE INDEX payload_by_age ON payload (received_at);

-- Batches as they came, acknowledged and not yet counted: the queue that all nodes drain. Counting one
-- removes it, in one transaction. Rows live for a moment, so they are cleared away early and often, and
-- no time is spent on making them smaller.
CREATE TABLE batch (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id BIGINT NOT NULL,
    received_at    BIGINT NOT NULL,
    unsummarised   BIGINT NOT NULL,
    body           BYTEA NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000,
    toast.autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE batch ALTER COLUMN body SET STORAGE EXTERNAL;

-- Batches that could not be counted, kept for a person to look at.
CREATE TABLE set_aside_batch (
    id             BIGINT PRIMARY KEY,
    environment_id BIGINT NOT NULL,
    received_at    BIGINT NOT NULL,
    unsummarised   BIGINT NOT NULL,
    body           BYTEA NOT NULL,
    reason         TEXT COLLATE "C" NOT NULL
);

-- How often a flag served a variation. No variation, and no version of an unknown flag, is -1.
CREATE TABLE evaluation_count (
    environment_id BIGINT NOT NULL,
    flag_key       TEXT COLLATE "C" NOT NULL,
    minute         BIGINT NOT NULL,
    variation      BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    count          BIGINT NOT NULL,
    PRIMARY KEY (environment_id, flag_key, minute, variation, version)
) WITH (fillfactor = 80);
-- Without the count itself, so that counting on need not touch an index.
CREATE INDEX evaluation_count_by_minute ON evaluation_count (environment_id, minute, flag_key, variation);

-- How often a custom event happened.
CREATE TABLE custom_count (
    environment_id BIGINT NOT NULL,
    event_key      TEXT COLLATE "C" NOT NULL,
    minute         BIGINT NOT NULL,
    count          BIGINT NOT NULL,
    PRIMARY KEY (environment_id, event_key, minute)
);

-- Contexts seen; users are those of kind `user`. Never an anonymous one, never a private attribute.
CREATE TABLE context (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id BIGINT NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    attributes     TEXT COLLATE "C" NOT NULL,
    redacted       TEXT COLLATE "C" NOT NULL,
    first_seen     BIGINT NOT NULL,
    last_seen      BIGINT NOT NULL,
    UNIQUE (environment_id, kind, key)
);
CREATE INDEX context_by_last_seen ON context (environment_id, kind, last_seen, key);

-- What contexts are found by, case-folded: the whole key, the whole e-mail, each word of the names.
CREATE TABLE context_term (
    environment_id BIGINT NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL,
    term           TEXT COLLATE "C" NOT NULL,
    context_id     BIGINT NOT NULL,
    PRIMARY KEY (environment_id, kind, term, context_id)
);
CREATE INDEX context_term_by_context ON context_term (context_id, term);

-- Anonymous contexts are only counted. The hash tells two apart and leads back to neither.
CREATE TABLE anonymous_context (
    environment_id BIGINT NOT NULL,
    hash           BIGINT NOT NULL,
    last_seen_day  BIGINT NOT NULL,
    PRIMARY KEY (environment_id, hash)
);

-- Programs that reported themselves, by the id their SDK gave itself.
CREATE TABLE sdk_instance (
    environment_id BIGINT NOT NULL,
    instance_id    TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    version        TEXT COLLATE "C" NOT NULL,
    wrapper        TEXT COLLATE "C" NOT NULL,
    first_seen     BIGINT NOT NULL,
    last_seen      BIGINT NOT NULL,
    PRIMARY KEY (environment_id, instance_id)
);
