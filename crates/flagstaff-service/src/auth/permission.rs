//! What each role may: the one place where that is decided.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a person or program may do. Each may all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything but secrets.
    Reader,
    /// Changes flags.
    Writer,
    /// Changes projects, environments and access tokens, sees SDK keys.
    Admin,
    /// Also changes members.
    Owner,
}

impl Role {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// The role with this wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Role::Reader, Role::Writer, Role::Admin, Role::Owner].into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// See flags, users and counts.
    Read,
    /// Change flags and segments.
    ChangeFlags,
    /// See SDK keys and mobile keys whole.
    SeeKeys,
    /// Make, change or delete projects and environments.
    ChangeProjects,
    /// Make access tokens for oneself, with at most one's own role.
    OwnTokens,
    /// See, change and delete everybody's access tokens.
    AllTokens,
    /// Change members.
    ChangeMembers,
}

impl Action {
    /// The least role that may.
    fn needs(self) -> Role {
        match self {
            Action::Read => Role::Reader,
            Action::ChangeFlags | Action::SeeKeys | Action::OwnTokens => Role::Writer,
            Action::ChangeProjects | Action::AllTokens => Role::Admin,
            Action::ChangeMembers => Role::Owner,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::ChangeFlags => "change flags",
            Action::SeeKeys => "see SDK keys",
            Action::ChangeProjects => "change projects and environments",
            Action::OwnTokens => "make access tokens",
            Action::AllTokens => "manage the access tokens of others",
            Action::ChangeMembers => "change members",
        }
    }
}

/// By which door somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActorKind {
    /// A person in the dashboard.
    Member,
    /// A program with an access token.
    AccessToken,
    /// The service itself: seeding, schedules.
    System,
}

impl ActorKind {
    /// As it rests in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            ActorKind::Member => "member",
            ActorKind::AccessToken => "accessToken",
            ActorKind::System => "system",
        }
    }
}

/// Who changes something: common to both faces, and what the audit log names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// By which door.
    pub kind: ActorKind,
    /// The public id of the member or token; empty for the service itself.
    pub id: String,
    /// How to call them: `Ada Lovelace`, or the token's name.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// The member behind it, in the store.
    pub member_id: Option<i64>,
}

/// Somebody may not do what they want to.
#[derive(Debug, thiserror::Error)]
#[error("the role `{role}` may not {}; it takes at least `{}`", action.in_words(), action.needs())]
pub struct Forbidden {
    /// What they are.
    pub role: Role,
    /// What they want.
    pub action: Action,
}

impl Actor {
    /// The service itself.
    pub fn system() -> Self {
        let name = "Flagstaff".to_owned();
        Self { kind: ActorKind::System, id: String::new(), name, role: Role::Owner, member_id: None }
    }

    /// Whether they may.
    pub fn may(&self, action: Action) -> Result<(), Forbidden> {
        if self.role >= action.needs() { Ok(()) } else { Err(Forbidden { role: self.role, action }) }
    }
}
