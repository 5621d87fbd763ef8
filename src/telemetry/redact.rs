//! What may be logged of personal data and of text that others wrote: the one place that decides.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

/// What follows `sk-` in a key is longer; in a word such as `task-force` it is shorter.
const SHORTEST_KEY: usize = 12;

/// Turns an address into a short name that is the same each time and tells nothing without the key.
///
/// The name is cut to 48 bits: enough to follow one person through a log, too short to prove who it was.
#[derive(Clone)]
pub struct Pseudonyms {
    key: [u8; 32],
}

impl Pseudonyms {
    /// Names made with one key are comparable with each other; keep it secret.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The name of `address`; its case does not matter.
    pub fn of(&self, address: &str) -> String {
        let digest =
            Sha256::new().chain_update(self.key).chain_update(address.to_lowercase().as_bytes()).finalize();
        digest.iter().take(6).fold(String::from("person-"), |mut name, byte| {
            // Writing to a String cannot fail.
            let _written = write!(name, "{byte:02x}").is_ok();
            name
        })
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(secret)")
    }
}

/// Text that somebody else wrote, made fit for one log line and for anybody's eyes: keys left out, control and
/// direction-changing characters escaped, cut after `limit` characters.
pub fn plain(text: &str, limit: usize) -> String {
    let mut plain = String::with_capacity(text.len().min(limit));
    for (at, c) in without_keys(text).chars().enumerate() {
        if at == limit {
            plain.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The text with `sk-…` for each OpenAI key: an error may repeat the key that it refuses.
fn without_keys(text: &str) -> String {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let mut parts = text.split("sk-");
    let mut safe = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(is_of_key);
        let is_key = part.len() - rest.len() >= SHORTEST_KEY;
        safe.push_str(if is_key { "sk-…" } else { "sk-" });
        safe.push_str(if is_key { rest } else { part });
    }
    safe
}

/// Line and paragraph separators, direction marks, zero-width characters and the byte order mark: they change how a
/// line looks without being seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_stable_and_depends_on_the_key() {
        let (ours, other) = (Pseudonyms::new([1; 32]), Pseudonyms::new([2; 32]));
        assert_eq!(ours.of("Jane@Example.com"), ours.of("jane@example.com"));
        assert_ne!(ours.of("jane@example.com"), other.of("jane@example.com"));
        assert!(!ours.of("jane@example.com").contains("jane"));
        assert_eq!(format!("{ours:?}"), "Pseudonyms(secret)");
    }

    #[test]
    fn text_of_others_cannot_forge_a_log_line() {
        assert_eq!(
            plain("bad\nINFO all is well\u{1b}[2J\u{202e}", 100),
            "bad\\nINFO all is well\\u{1b}[2J\\u{202e}"
        );
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("grüße", 100), "grüße");
    }

    #[test]
    fn keys_in_text_of_others_are_left_out() {
        assert_eq!(
            plain(
                "Incorrect API key: sk-admin-4Hq_9x2Lm0ZtR. A task-force, sk-proj-abcdefgh****1234, sk-",
                100
            ),
            "Incorrect API key: sk-…. A task-force, sk-…, sk-"
        );
    }
}
