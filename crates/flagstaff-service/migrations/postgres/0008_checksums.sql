-- What tells a damaged row from a good one, and a second copy of each row that decides who gets what.

-- Of all columns that the program writes into them; -1 is "not known yet": the next start works it out.
ALTER TABLE project ADD COLUMN checksum BIGINT NOT NULL DEFAULT -1;
ALTER TABLE environment ADD COLUMN checksum BIGINT NOT NULL DEFAULT -1;
ALTER TABLE flag ADD COLUMN checksum BIGINT NOT NULL DEFAULT -1;
ALTER TABLE flag_targeting ADD COLUMN checksum BIGINT NOT NULL DEFAULT -1;
ALTER TABLE segment ADD COLUMN checksum BIGINT NOT NULL DEFAULT -1;
ALTER TABLE change_log ADD COLUMN checksum BIGINT NOT NULL DEFAULT -1;

-- Whoever writes without knowing of checksums, as a node of the version before does, leaves none that is wrong.
CREATE FUNCTION flagstaff_forget_checksum() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.checksum := -1; RETURN NEW; END';
CREATE TRIGGER project_forget_checksum BEFORE UPDATE ON project FOR EACH ROW
    WHEN (NEW.checksum = OLD.checksum
     AND (NEW.public_id, NEW.key, NEW.name, NEW.tags, NEW.using_environment_id, NEW.using_mobile_key, NEW.created_at)
         IS DISTINCT FROM (OLD.public_id, OLD.key, OLD.name, OLD.tags, OLD.using_environment_id, OLD.using_mobile_key, OLD.created_at))
    EXECUTE FUNCTION flagstaff_forget_checksum();
CREATE TRIGGER environment_forget_checksum BEFORE UPDATE ON environment FOR EACH ROW
    WHEN (NEW.checksum = OLD.checksum
     AND (NEW.project_id, NEW.key, NEW.name, NEW.colour, NEW.tags, NEW.sdk_key, NEW.sdk_key_hash, NEW.mobile_key,
         NEW.mobile_key_hash, NEW.client_side_id, NEW.default_ttl, NEW.secure_mode, NEW.default_track_events,
         NEW.confirm_changes, NEW.require_comments, NEW.critical, NEW.lineage, NEW.created_at, NEW.expiring_sdk_key,
         NEW.sdk_key_expires_at)
         IS DISTINCT FROM (OLD.project_id, OLD.key, OLD.name, OLD.colour, OLD.tags, OLD.sdk_key, OLD.sdk_key_hash, OLD.mobile_key,
         OLD.mobile_key_hash, OLD.client_side_id, OLD.default_ttl, OLD.secure_mode, OLD.default_track_events,
         OLD.confirm_changes, OLD.require_comments, OLD.critical, OLD.lineage, OLD.created_at, OLD.expiring_sdk_key,
         OLD.sdk_key_expires_at))
    EXECUTE FUNCTION flagstaff_forget_checksum();
CREATE TRIGGER flag_forget_checksum BEFORE UPDATE ON flag FOR EACH ROW
    WHEN (NEW.checksum = OLD.checksum
     AND (NEW.public_id, NEW.project_id, NEW.key, NEW.version, NEW.definition, NEW.created_at)
         IS DISTINCT FROM (OLD.public_id, OLD.project_id, OLD.key, OLD.version, OLD.definition, OLD.created_at))
    EXECUTE FUNCTION flagstaff_forget_checksum();
CREATE TRIGGER flag_targeting_forget_checksum BEFORE UPDATE ON flag_targeting FOR EACH ROW
    WHEN (NEW.checksum = OLD.checksum
     AND (NEW.flag_id, NEW.environment_id, NEW.version, NEW.targeting, NEW.changed_at, NEW.changed_by)
         IS DISTINCT FROM (OLD.flag_id, OLD.environment_id, OLD.version, OLD.targeting, OLD.changed_at, OLD.changed_by))
    EXECUTE FUNCTION flagstaff_forget_checksum();
CREATE TRIGGER segment_forget_checksum BEFORE UPDATE ON segment FOR EACH ROW
    WHEN (NEW.checksum = OLD.checksum
     AND (NEW.public_id, NEW.environment_id, NEW.key, NEW.version, NEW.name, NEW.description, NEW.tags, NEW.segment,
         NEW.created_at, NEW.changed_at)
         IS DISTINCT FROM (OLD.public_id, OLD.environment_id, OLD.key, OLD.version, OLD.name, OLD.description, OLD.tags, OLD.segment,
         OLD.created_at, OLD.changed_at))
    EXECUTE FUNCTION flagstaff_forget_checksum();
CREATE TRIGGER change_log_forget_checksum BEFORE UPDATE ON change_log FOR EACH ROW
    WHEN (NEW.checksum = OLD.checksum
     AND (NEW.environment_id, NEW.sequence, NEW.kind, NEW.key, NEW.stamp)
         IS DISTINCT FROM (OLD.environment_id, OLD.sequence, OLD.kind, OLD.key, OLD.stamp))
    EXECUTE FUNCTION flagstaff_forget_checksum();

-- The same columns again, elsewhere in the file: what a damaged row is put back from.
CREATE TABLE project_copy (
    id BIGINT PRIMARY KEY REFERENCES project (id) ON DELETE CASCADE,
    public_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    using_environment_id BIGINT NOT NULL,
    using_mobile_key BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    checksum BIGINT NOT NULL
);
CREATE TABLE environment_copy (
    id BIGINT PRIMARY KEY REFERENCES environment (id) ON DELETE CASCADE,
    project_id BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    colour TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    sdk_key TEXT COLLATE "C" NOT NULL,
    sdk_key_hash TEXT COLLATE "C" NOT NULL,
    mobile_key TEXT COLLATE "C" NOT NULL,
    mobile_key_hash TEXT COLLATE "C" NOT NULL,
    client_side_id TEXT COLLATE "C" NOT NULL,
    default_ttl BIGINT NOT NULL,
    secure_mode BIGINT NOT NULL,
    default_track_events BIGINT NOT NULL,
    confirm_changes BIGINT NOT NULL,
    require_comments BIGINT NOT NULL,
    critical BIGINT NOT NULL,
    lineage TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expiring_sdk_key TEXT COLLATE "C",
    sdk_key_expires_at BIGINT,
    checksum BIGINT NOT NULL
);
CREATE TABLE flag_copy (
    id BIGINT PRIMARY KEY REFERENCES flag (id) ON DELETE CASCADE,
    public_id TEXT COLLATE "C" NOT NULL,
    project_id BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    checksum BIGINT NOT NULL
);
CREATE TABLE flag_targeting_copy (
    flag_id BIGINT NOT NULL,
    environment_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    targeting TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT COLLATE "C" NOT NULL,
    checksum BIGINT NOT NULL,
    PRIMARY KEY (flag_id, environment_id),
    FOREIGN KEY (flag_id, environment_id) REFERENCES flag_targeting (flag_id, environment_id) ON DELETE CASCADE
);
CREATE TABLE segment_copy (
    id BIGINT PRIMARY KEY REFERENCES segment (id) ON DELETE CASCADE,
    public_id TEXT COLLATE "C" NOT NULL,
    environment_id BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    segment TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    checksum BIGINT NOT NULL
);

-- Rows that were damaged beyond help, as far as they could be read.
CREATE TABLE quarantine (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    found_at BIGINT NOT NULL,
    entity   TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    content  TEXT COLLATE "C" NOT NULL         -- JSON
);
