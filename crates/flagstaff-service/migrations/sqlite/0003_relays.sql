-- SDK keys that were replaced and work on until a time, and what relays configure themselves with.

ALTER TABLE environment ADD COLUMN expiring_sdk_key TEXT;
ALTER TABLE environment ADD COLUMN sdk_key_expires_at BIGINT;

CREATE TABLE relay_auto_config (
    id             INTEGER PRIMARY KEY,
    public_id      TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    policy         TEXT NOT NULL,         -- JSON: which environments
    key_hash       TEXT NOT NULL UNIQUE,  -- SHA-256; the key itself is shown once and not kept
    key_end        TEXT NOT NULL,         -- its last characters, to tell keys apart
    expiring_key_hash TEXT UNIQUE,        -- of the key before
    key_expires_at BIGINT,                -- when that one stops working
    member_id      BIGINT REFERENCES member (id) ON DELETE SET NULL, -- who made it
    version        BIGINT NOT NULL,       -- rises with each change of the policy
    created_at     BIGINT NOT NULL,
    changed_at     BIGINT NOT NULL
);
