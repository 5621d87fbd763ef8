//! What a caller may do: the scopes of tokens and clients, as they are written in settings, tokens and lists.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One thing that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look people up, and what access there is to give.
    UsersRead,
    /// Create, change and remove people. The answers show the person concerned.
    UsersWrite,
    /// Look groups up.
    GroupsRead,
    /// Create, change and remove groups. The answers show the group concerned.
    GroupsWrite,
    /// Take events off the feed.
    EventsRead,
    /// All of it.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [
        Self::UsersRead,
        Self::UsersWrite,
        Self::GroupsRead,
        Self::GroupsWrite,
        Self::EventsRead,
        Self::Admin,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::GroupsRead => "groups:read",
            Self::GroupsWrite => "groups:write",
            Self::EventsRead => "events:read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a caller may do altogether.
///
/// # Examples
///
/// ```
/// use openai_scim_bridge::model::scope::{Scope, Scopes};
///
/// let scopes: Scopes = "users:read groups:read".parse()?;
/// assert!(scopes.allow(Scope::UsersRead) && !scopes.allow(Scope::UsersWrite));
/// # Ok::<(), openai_scim_bridge::model::scope::ScopeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// What an identity provider needs: people and groups, to read and to write.
    pub fn provisioning() -> Self {
        Self([Scope::UsersRead, Scope::UsersWrite, Scope::GroupsRead, Scope::GroupsWrite].into())
    }

    /// Everything.
    pub fn admin() -> Self {
        Self([Scope::Admin].into())
    }

    /// Whether `scope` is among them.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }

    /// Whether all of `others` are among them.
    pub fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|scope| self.allow(*scope))
    }

    /// What both allow; `None` if that is nothing.
    pub fn both(&self, other: &Self) -> Option<Self> {
        let both: BTreeSet<_> =
            Scope::ALL.into_iter().filter(|scope| self.allow(*scope) && other.allow(*scope)).collect();
        (!both.is_empty()).then_some(Self(both))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            write!(f, "{}{scope}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// A text that names no scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a scope; use users:read, users:write, groups:read, groups:write, events:read or admin, \
     several with blanks or commas between them"
)]
pub struct ScopeError(String);

impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let scopes: BTreeSet<_> = words
            .map(|word| {
                let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
                known.ok_or_else(|| ScopeError(word.to_owned()))
            })
            .collect::<Result<_, _>>()?;
        if scopes.is_empty() { Err(ScopeError(text.to_owned())) } else { Ok(Self(scopes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse::<Scopes>().unwrap().to_string(), scope.as_str());
        }
        let both: Scopes = "groups:write,users:read".parse().unwrap();
        assert_eq!(both.to_string(), "users:read groups:write");
        for bad in ["", " ", "users", "users:admin", "Users:read"] {
            assert!(bad.parse::<Scopes>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn admin_is_all_of_them_and_writing_is_not_reading() {
        for scope in Scope::ALL {
            assert!(Scopes::admin().allow(scope));
        }
        let writer: Scopes = "users:write".parse().unwrap();
        assert!(!writer.allow(Scope::UsersRead) && !Scopes::provisioning().allow(Scope::EventsRead));
        assert!(
            Scopes::admin().cover(&Scopes::provisioning()) && !Scopes::provisioning().cover(&Scopes::admin())
        );
        assert_eq!(Scopes::admin().both(&writer), Some(writer.clone()));
        assert_eq!("users:read".parse::<Scopes>().unwrap().both(&writer), None);
    }
}
