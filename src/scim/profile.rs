//! Identity providers by name, and the deviations from the RFCs that are chosen for each.
//!
//! Every deviation has a name here, so that there is no special case without one. What can be accepted without harm
//! is accepted from everyone, whatever the profile: a deviation of that kind is here only if no conforming request can
//! mean something else by it. A profile merely chooses between two *answers*, where one cannot suit all.
//!
//! [`Deviation::ALL`] is the table: name, what it is, source, and the profiles that it is chosen for.

use std::fmt;
use std::str::FromStr;

/// The identity provider that a tenant is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Profile {
    /// Any: what the RFCs say, and all that is accepted from everyone.
    #[default]
    Generic,
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// `OneLogin`.
    Onelogin,
    /// `JumpCloud`.
    Jumpcloud,
    /// `PingOne` and `PingFederate`.
    Pingone,
    /// Google Workspace.
    Google,
    /// authentik.
    Authentik,
}

impl Profile {
    /// Every profile.
    pub const ALL: &[Self] = &[
        Self::Generic,
        Self::Okta,
        Self::Entra,
        Self::Onelogin,
        Self::Jumpcloud,
        Self::Pingone,
        Self::Google,
        Self::Authentik,
    ];

    /// The word for settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Okta => "okta",
            Self::Entra => "entra",
            Self::Onelogin => "onelogin",
            Self::Jumpcloud => "jumpcloud",
            Self::Pingone => "pingone",
            Self::Google => "google",
            Self::Authentik => "authentik",
        }
    }

    /// The deviations in force for it, those for everyone included.
    ///
    /// # Examples
    ///
    /// ```
    /// use openai_scim_bridge::scim::profile::{Deviation, Profile};
    ///
    /// assert!(Profile::Okta.deviations().any(|deviation| deviation == Deviation::OktaCatalogue));
    /// assert!(Profile::Generic.deviations().all(|deviation| deviation.is_for_everyone()));
    /// ```
    pub fn deviations(self) -> impl Iterator<Item = Deviation> {
        Deviation::ALL.iter().copied().filter(move |deviation| self.has(*deviation))
    }

    /// Whether this deviation is in force.
    pub fn has(self, deviation: Deviation) -> bool {
        deviation.profiles().contains(&self)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a profile; use generic, okta, entra, onelogin, jumpcloud, pingone, google or authentik"
)]
pub struct ProfileError(String);

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(word: &str) -> Result<Self, ProfileError> {
        let found = Self::ALL.iter().copied().find(|profile| profile.as_str() == word);
        found.ok_or_else(|| ProfileError(word.to_owned()))
    }
}

macro_rules! deviations {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $source:literal, $profiles:expr;)*) => {
        /// Something that identity providers do, or want, otherwise than the RFCs have it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Deviation {
            $($(#[$doc])* $name,)*
        }

        impl Deviation {
            /// Every deviation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name, in words.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// Who is known to do it, or where it is written.
            pub fn source(self) -> &'static str {
                match self {
                    $(Self::$name => $source,)*
                }
            }

            /// The profiles that it is chosen for.
            pub fn profiles(self) -> &'static [Profile] {
                match self {
                    $(Self::$name => $profiles,)*
                }
            }
        }
    };
}

deviations! {
    /// [`boolean`](super::dialect::boolean), [`boolean_text`](super::dialect::boolean_text)
    BooleansAsTexts = "booleans as texts", "Entra ID, unless told otherwise by aadOptscim062020", Profile::ALL;
    /// [`bare_word`](super::dialect::bare_word)
    BareWords = "values without quotes in a filter", "Entra ID's documentation", Profile::ALL;
    /// [`home_of_bare_name`](super::dialect::home_of_bare_name)
    BareExtensionNames = "enterprise attributes without their URN", "Entra ID", Profile::ALL;
    /// [`attribute_alias`](super::dialect::attribute_alias)
    EmailForEmails = "email for emails", "PingFederate's example filter", Profile::ALL;
    /// [`sub_attribute_alias`](super::dialect::sub_attribute_alias)
    DisplayNameForDisplay = "displayName for display in values of a list", "Entra ID", Profile::ALL;
    /// [`lone_value`](super::dialect::lone_value)
    LoneValues = "one value where a list belongs", "clients with hand-written templates", Profile::ALL;
    /// [`lone_element`](super::dialect::lone_element)
    LoneElements = "a list of one where an object belongs", "Entra ID, on manager", Profile::ALL;
    /// [`plain_value`](super::dialect::plain_value)
    PlainValues = "a text where an object with value belongs", "Entra ID, on manager", Profile::ALL;
    /// [`unpack_role`](super::dialect::unpack_role)
    PackedRoles = "a role as JSON within a text", "Entra ID's AppRoleAssignmentsComplex", Profile::ALL;
    /// [`any_case`](super::dialect::any_case), [`take_any_case`](super::dialect::take_any_case)
    KeysInAnyCase = "keys of messages in any case", "various clients", Profile::ALL;
    /// [`check_message`](super::dialect::check_message)
    UndeclaredMessages = "messages that do not say what they are", "clients with hand-written templates", Profile::ALL;
    /// [`op_name`](super::dialect::op_name)
    OpInAnyCase = "op in any case", "Entra ID", Profile::ALL;
    /// [`expand_keys`](super::dialect::expand_keys)
    PathsAsKeys = "paths as keys of a value without a path", "Entra ID with aadOptscim062020", Profile::ALL;
    /// [`given_path`](super::dialect::given_path)
    EmptyPath = "an empty path", "clients with hand-written templates", Profile::ALL;
    /// [`listed_values`](super::dialect::listed_values)
    RemoveListed = "remove with a list of values", "Entra ID, authentik and JumpCloud", Profile::ALL;
    /// [`gives`](super::dialect::gives)
    PutWithoutMembers = "a PUT without members leaves the members alone", "clients that rename a group by PUT", Profile::ALL;
    /// [`seed`](super::dialect::seed)
    SeedByFilter = "a value filter that matches nothing describes a new value", "Entra ID", Profile::ALL;
    /// Okta's header mode sends the token as it is; RFC 6750 §2.1 has `Bearer` before it.
    BareToken = "a token without its scheme", "Okta, authentication by HTTP header", Profile::ALL;
    /// Okta's governance finds roles and entitlements by URNs of its own and reads `displayName`, where
    /// draft-ietf-scim-roles-entitlements has `value` and `display`. One resource type has one schema, so it is one or
    /// the other.
    OktaCatalogue = "roles and entitlements in Okta's schemas", "Okta, \"Build a SCIM 2.0 server with entitlements\"",
        &[Profile::Okta];
    /// A server that cannot serve for a moment says 503 (RFC 9110 §15.6.4). Okta repeats a request by itself after
    /// a 429 with `Retry-After`; of other failures it makes a task for an administrator. Only for callers whose token
    /// is known, so that nobody else learns the profile.
    BusyIsTooMany = "429 where 503 would be due", "Okta, \"Understanding SCIM\", rate limits", &[Profile::Okta];
}

impl Deviation {
    /// Whether it is in force whatever the profile.
    pub fn is_for_everyone(self) -> bool {
        self.profiles() == Profile::ALL
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_names_its_profile_and_no_other_word_does() {
        for profile in Profile::ALL {
            assert_eq!(profile.as_str().parse(), Ok(*profile));
        }
        let error = "Octa".parse::<Profile>().unwrap_err().to_string();
        for profile in Profile::ALL {
            assert!(error.contains(profile.as_str()), "{error}");
        }
    }

    #[test]
    fn no_two_deviations_share_a_name() {
        let names: BTreeSet<_> = Deviation::ALL.iter().map(|deviation| deviation.name()).collect();
        assert_eq!(names.len(), Deviation::ALL.len());
    }

    #[test]
    fn generic_chooses_nothing_of_its_own() {
        let of = |profile: Profile| profile.deviations().collect::<BTreeSet<_>>();
        for profile in Profile::ALL {
            assert!(of(*profile).is_superset(&of(Profile::Generic)), "{profile}");
        }
    }
}
