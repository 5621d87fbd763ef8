//! E-mail addresses as OpenAI is asked to invite them: exactly one mailbox, compared without regard to case.

use std::fmt;

/// The longest address accepted, in characters (RFC 5321 §4.5.3.1.3 less the angle brackets).
pub const MAX_ADDRESS_LENGTH: usize = 254;

/// One e-mail address, kept as it was written; `key()` is the form that is compared.
///
/// Lists, display names, blanks, control and non-ASCII characters are refused: such a text could reach another
/// inbox than the one the administrator read (CVE-2023-7028 is the classic).
#[derive(Debug, Clone)]
pub struct Address(String);

/// The text given is not one plain e-mail address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a single plain e-mail address")]
pub struct AddressError;

impl Address {
    /// Reads one address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError)?;
        let local_is_plain = (1..=64).contains(&local.len())
            && local.chars().all(|c| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let domain_is_plain = domain.split('.').count() >= 2
            && domain.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            });
        if text.len() <= MAX_ADDRESS_LENGTH && local_is_plain && domain_is_plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError)
        }
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The lower-case form: two addresses are the same mailbox for us when their keys are equal.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The part after the `@`, in lower case.
    pub fn domain(&self) -> String {
        self.0.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase()).unwrap_or_default()
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_plain_mailbox_is_accepted() {
        for good in ["a@b.co", "Jane.Doe+x@Example.COM", "o'neil@example.com"] {
            assert_eq!(Address::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Address::parse("A@B.co"), Address::parse("a@b.CO"));
    }

    #[test]
    fn anything_that_could_reach_another_inbox_is_refused() {
        for bad in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a@b..co",
            "a@-b.co",
            "a b@c.co",
            "a@b.co,c@d.co",
            "a@b.co;c@d.co",
            "Jane <a@b.co>",
            "a@b.co\n",
            "a@b.co\u{200b}",
            "jäne@b.co",
            "a@bücher.de",
            ".a@b.co",
            "a..b@c.co",
            "a\u{0}@b.co",
            "\"a b\"@c.co",
        ] {
            assert_eq!(Address::parse(bad), Err(AddressError), "{bad:?}");
        }
    }
}
