-- Payload filters: parts of a project's flags that SDKs can ask for. Conditions are JSON text.
CREATE TABLE payload_filter (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT NOT NULL UNIQUE,
    project_id  BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    conditions  TEXT NOT NULL,
    version     BIGINT NOT NULL,          -- rises with each change
    created_at  BIGINT NOT NULL,
    UNIQUE (project_id, key)
);
