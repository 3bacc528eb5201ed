//! Which rows carry a checksum, of which columns, in which order.

/// A table whose rows carry a checksum.
#[derive(Debug)]
pub(in crate::store) struct Checked {
    /// Its name.
    pub(in crate::store) table: &'static str,
    /// Where each row stands a second time; none for what can be done without.
    pub(super) copy: Option<&'static str>,
    /// What is done with a row that cannot be put back.
    pub(super) beyond_help: BeyondHelp,
    /// What a row is, for people.
    pub(super) entity: &'static str,
    /// The primary key: numbers.
    pub(super) key: &'static [&'static str],
    /// What the checksum is of. Numbers that the database gives are not among them.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// What people call a row, by its key.
    pub(super) name: &'static str,
}

/// What a column holds, or NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
}
use Kind::{Integer, Text};

/// What is done with a row that cannot be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BeyondHelp {
    /// Nothing can be served without it.
    Refuse,
    /// It is taken out, and named for as long as nobody writes it anew.
    Quarantine,
    /// It is taken out: whoever would have needed it begins anew.
    Drop,
}

pub(in crate::store) const PROJECT: Checked = Checked {
    table: "project",
    copy: Some("project_copy"),
    beyond_help: BeyondHelp::Refuse,
    entity: "project",
    key: &["id"],
    columns: &[
        ("public_id", Text),
        ("key", Text),
        ("name", Text),
        ("tags", Text),
        ("using_environment_id", Integer),
        ("using_mobile_key", Integer),
        ("created_at", Integer),
    ],
    name: "SELECT key FROM project WHERE id = $1",
};

/// All but the two columns that count: they rise with statements that know nothing of the others.
pub(in crate::store) const ENVIRONMENT: Checked = Checked {
    table: "environment",
    copy: Some("environment_copy"),
    beyond_help: BeyondHelp::Refuse,
    entity: "environment",
    key: &["id"],
    columns: &[
        ("project_id", Integer),
        ("key", Text),
        ("name", Text),
        ("colour", Text),
        ("tags", Text),
        ("sdk_key", Text),
        ("sdk_key_hash", Text),
        ("mobile_key", Text),
        ("mobile_key_hash", Text),
        ("client_side_id", Text),
        ("default_ttl", Integer),
        ("secure_mode", Integer),
        ("default_track_events", Integer),
        ("confirm_changes", Integer),
        ("require_comments", Integer),
        ("critical", Integer),
        ("lineage", Text),
        ("created_at", Integer),
        ("expiring_sdk_key", Text),
        ("sdk_key_expires_at", Integer),
    ],
    name:
        "SELECT project.key || '/' || environment.key FROM environment JOIN project ON project.id = project_id
           WHERE environment.id = $1",
};

pub(in crate::store) const FLAG: Checked = Checked {
    table: "flag",
    copy: Some("flag_copy"),
    beyond_help: BeyondHelp::Quarantine,
    entity: "flag",
    key: &["id"],
    columns: &[
        ("public_id", Text),
        ("project_id", Integer),
        ("key", Text),
        ("version", Integer),
        ("definition", Text),
        ("created_at", Integer),
    ],
    name: "SELECT project.key || '/' || flag.key FROM flag JOIN project ON project.id = project_id
           WHERE flag.id = $1",
};

pub(in crate::store) const FLAG_TARGETING: Checked = Checked {
    table: "flag_targeting",
    copy: Some("flag_targeting_copy"),
    beyond_help: BeyondHelp::Quarantine,
    entity: "targeting of a flag",
    key: &["flag_id", "environment_id"],
    columns: &[
        ("flag_id", Integer),
        ("environment_id", Integer),
        ("version", Integer),
        ("targeting", Text),
        ("changed_at", Integer),
        ("changed_by", Text),
    ],
    name: "SELECT project.key || '/' || environment.key || '/' || flag.key FROM flag
           JOIN project ON project.id = flag.project_id JOIN environment ON environment.id = $2
           WHERE flag.id = $1",
};

pub(in crate::store) const SEGMENT: Checked = Checked {
    table: "segment",
    copy: Some("segment_copy"),
    beyond_help: BeyondHelp::Quarantine,
    entity: "segment",
    key: &["id"],
    columns: &[
        ("public_id", Text),
        ("environment_id", Integer),
        ("key", Text),
        ("version", Integer),
        ("name", Text),
        ("description", Text),
        ("tags", Text),
        ("segment", Text),
        ("created_at", Integer),
        ("changed_at", Integer),
    ],
    name: "SELECT project.key || '/' || environment.key || '/' || segment.key FROM segment
           JOIN environment ON environment.id = environment_id JOIN project ON project.id = project_id
           WHERE segment.id = $1",
};

pub(in crate::store) const CHANGE_LOG: Checked = Checked {
    table: "change_log",
    copy: None,
    beyond_help: BeyondHelp::Drop,
    entity: "change",
    key: &["environment_id", "sequence"],
    columns: &[
        ("environment_id", Integer),
        ("sequence", Integer),
        ("kind", Text),
        ("key", Text),
        ("stamp", Integer),
    ],
    name: "SELECT project.key || '/' || environment.key || '/' || CAST($2 AS BIGINT) FROM environment
           JOIN project ON project.id = project_id WHERE environment.id = $1",
};

/// All of them: whatever one refers to stands before it.
pub(super) const ALL: [&Checked; 6] = [&PROJECT, &ENVIRONMENT, &FLAG, &FLAG_TARGETING, &SEGMENT, &CHANGE_LOG];
