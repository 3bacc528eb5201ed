-- What SDKs report, and what it adds up to: a file of its own, so that a flood of events never makes a
-- flag change wait. Instants are Unix milliseconds, minutes are Unix minutes, structures are JSON text.
-- `environment_id` is the id in the database of flags.

-- Payload ids of the last day, as the first half of a SHA-256: the same payload sent again is not stored.
CREATE TABLE payload (
    hash        BLOB PRIMARY KEY,
    received_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX payload_by_age ON payload (received_at);

-- Batches as they came, acknowledged and not yet counted. Counting one removes it, in one transaction.
CREATE TABLE batch (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    environment_id INTEGER NOT NULL,
    received_at    INTEGER NOT NULL,
    unsummarised   INTEGER NOT NULL,
    body           BLOB NOT NULL
) STRICT;

-- Batches that could not be counted, kept for a person to look at.
CREATE TABLE set_aside_batch (
    id             INTEGER PRIMARY KEY,
    environment_id INTEGER NOT NULL,
    received_at    INTEGER NOT NULL,
    unsummarised   INTEGER NOT NULL,
    body           BLOB NOT NULL,
    reason         TEXT NOT NULL
) STRICT;

-- How often a flag served a variation. No variation, and no version of an unknown flag, is -1.
CREATE TABLE evaluation_count (
    environment_id INTEGER NOT NULL,
    flag_key       TEXT NOT NULL,
    minute         INTEGER NOT NULL,
    variation      INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    count          INTEGER NOT NULL,
    PRIMARY KEY (environment_id, flag_key, minute, variation, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX evaluation_count_by_minute ON evaluation_count (environment_id, minute, flag_key, variation, count);

-- How often a custom event happened.
CREATE TABLE custom_count (
    environment_id INTEGER NOT NULL,
    event_key      TEXT NOT NULL,
    minute         INTEGER NOT NULL,
    count          INTEGER NOT NULL,
    PRIMARY KEY (environment_id, event_key, minute)
) STRICT, WITHOUT ROWID;

-- Contexts seen; users are those of kind `user`. Never an anonymous one, never a private attribute.
CREATE TABLE context (
    id             INTEGER PRIMARY KEY,
    environment_id INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    key            TEXT NOT NULL,
    attributes     TEXT NOT NULL,
    redacted       TEXT NOT NULL,
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    UNIQUE (environment_id, kind, key)
) STRICT;
CREATE INDEX context_by_last_seen ON context (environment_id, kind, last_seen, key);

-- What contexts are found by, case-folded: the whole key, the whole e-mail, each word of the names.
CREATE TABLE context_term (
    environment_id INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    term           TEXT NOT NULL,
    context_id     INTEGER NOT NULL,
    PRIMARY KEY (environment_id, kind, term, context_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX context_term_by_context ON context_term (context_id, term);

-- Anonymous contexts are only counted. The hash tells two apart and leads back to neither.
CREATE TABLE anonymous_context (
    environment_id INTEGER NOT NULL,
    hash           INTEGER NOT NULL,
    last_seen_day  INTEGER NOT NULL,
    PRIMARY KEY (environment_id, hash)
) STRICT, WITHOUT ROWID;

-- Programs that reported themselves, by the id their SDK gave itself.
CREATE TABLE sdk_instance (
    environment_id INTEGER NOT NULL,
    instance_id    TEXT NOT NULL,
    name           TEXT NOT NULL,
    version        TEXT NOT NULL,
    wrapper        TEXT NOT NULL,
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    PRIMARY KEY (environment_id, instance_id)
) STRICT, WITHOUT ROWID;
