-- Flags and everything that decides who gets which variation. Instants are Unix milliseconds,
-- structures are JSON text. Public ids are what the APIs show; the integer ids never leave.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE member (
    id            INTEGER PRIMARY KEY,
    public_id     TEXT NOT NULL UNIQUE,
    email         TEXT NOT NULL UNIQUE,   -- lower case
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    role          TEXT NOT NULL,
    password_hash TEXT,                   -- argon2id; none until one is chosen
    created_at    BIGINT NOT NULL
);

CREATE TABLE session (
    token_hash TEXT PRIMARY KEY,          -- SHA-256 of the cookie
    member_id  BIGINT NOT NULL REFERENCES member (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE sign_in_link (
    token_hash TEXT PRIMARY KEY,
    member_id  BIGINT NOT NULL REFERENCES member (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);

CREATE TABLE access_token (
    id           INTEGER PRIMARY KEY,
    public_id    TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    role         TEXT NOT NULL,
    token_hash   TEXT NOT NULL UNIQUE,    -- SHA-256; the token itself is shown once and not kept
    token_end    TEXT NOT NULL,           -- its last characters, to tell tokens apart
    is_service   BIGINT NOT NULL,
    member_id    BIGINT NOT NULL REFERENCES member (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE TABLE project (
    id         INTEGER PRIMARY KEY,
    public_id  TEXT NOT NULL UNIQUE,
    key        TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    tags       TEXT NOT NULL,
    using_environment_id BIGINT NOT NULL, -- what new flags get
    using_mobile_key     BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE environment (
    id              INTEGER PRIMARY KEY,
    project_id      BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    key             TEXT NOT NULL,
    name            TEXT NOT NULL,
    colour          TEXT NOT NULL,        -- six hex digits
    tags            TEXT NOT NULL,
    sdk_key         TEXT NOT NULL,
    sdk_key_hash    TEXT NOT NULL UNIQUE,
    mobile_key      TEXT NOT NULL,
    mobile_key_hash TEXT NOT NULL UNIQUE,
    client_side_id  TEXT NOT NULL UNIQUE,
    default_ttl     BIGINT NOT NULL,
    secure_mode     BIGINT NOT NULL,
    default_track_events BIGINT NOT NULL,
    confirm_changes BIGINT NOT NULL,
    require_comments BIGINT NOT NULL,
    critical        BIGINT NOT NULL,
    sequence        BIGINT NOT NULL,      -- rises by one with each change to what SDKs get
    lineage         TEXT NOT NULL,        -- whose sequence this is
    version         BIGINT NOT NULL,      -- rises with each change to this row's settings
    created_at      BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

CREATE TABLE flag (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT NOT NULL UNIQUE,
    project_id  BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    version     BIGINT NOT NULL,          -- rises with each change in whatever environment
    definition  TEXT NOT NULL,            -- what all environments share
    created_at  BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

CREATE TABLE flag_targeting (
    flag_id        BIGINT NOT NULL REFERENCES flag (id) ON DELETE CASCADE,
    environment_id BIGINT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    version        BIGINT NOT NULL,       -- the environment's sequence at the last change
    targeting      TEXT NOT NULL,
    changed_at     BIGINT NOT NULL,
    changed_by     TEXT NOT NULL,         -- the actor's name
    PRIMARY KEY (flag_id, environment_id)
);
CREATE INDEX flag_targeting_by_environment ON flag_targeting (environment_id, version);

CREATE TABLE segment (
    id             INTEGER PRIMARY KEY,
    public_id      TEXT NOT NULL UNIQUE,
    environment_id BIGINT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    key            TEXT NOT NULL,
    version        BIGINT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    tags           TEXT NOT NULL,
    segment        TEXT NOT NULL,         -- as SDKs get it
    created_at     BIGINT NOT NULL,
    UNIQUE (environment_id, key)
);

CREATE TABLE metric (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT NOT NULL UNIQUE,
    project_id  BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    kind        TEXT NOT NULL,
    event_key   TEXT NOT NULL,
    is_numeric  BIGINT NOT NULL,
    unit        TEXT NOT NULL,
    success     TEXT NOT NULL,            -- HigherThanBaseline or LowerThanBaseline
    created_at  BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

-- What SDKs have to be told, in order. One row per changed item; the item itself is read where it
-- rests.
CREATE TABLE change_log (
    environment_id BIGINT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    sequence       BIGINT NOT NULL,
    kind           TEXT NOT NULL,         -- flag or segment
    key            TEXT NOT NULL,
    PRIMARY KEY (environment_id, sequence)
) WITHOUT ROWID;

CREATE TABLE audit_entry (
    id              INTEGER PRIMARY KEY,
    public_id       TEXT NOT NULL UNIQUE,
    at              BIGINT NOT NULL,
    actor_kind      TEXT NOT NULL,
    actor_id        TEXT NOT NULL,
    actor_name      TEXT NOT NULL,
    project_key     TEXT,
    environment_key TEXT,
    kind            TEXT NOT NULL,        -- what was changed: flag, environment, ...
    key             TEXT NOT NULL,
    action          TEXT NOT NULL,
    comment         TEXT NOT NULL,
    before          TEXT,                 -- JSON
    after           TEXT                  -- JSON
);
CREATE INDEX audit_entry_by_item ON audit_entry (project_key, kind, key, id);
