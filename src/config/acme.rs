//! Certificates that the program gets by itself, from an authority that speaks ACME (RFC 8555).

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use toml::Spanned;
use url::Url;

use super::file::{self, Source};
use super::origin::{ConfigError, Setting};
use super::tenant::is_local;

/// The directory of Let's Encrypt, which is asked unless the settings say otherwise.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The most names that Let's Encrypt puts into one certificate.
const MOST_DOMAINS: usize = 100;

/// How certificates are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The names in the certificate, in lower case; there is at least one, and the first is the program's own.
    pub domains: Vec<String>,
    /// An e-mail address that the authority may write to.
    pub contact: Option<String>,
    /// Where the account and the certificate are kept.
    pub folder: PathBuf,
    /// The directory of the authority.
    pub directory: Url,
    /// Who vouches for the authority's own address, in PEM, if it is nobody that the machine trusts anyway.
    pub roots: Option<String>,
}

/// Reads the table `[server.acme]`.
pub(super) fn read(table: Spanned<file::Acme>, source: &Source) -> Result<Setting<Acme>, ConfigError> {
    let Setting { value: table, origin } = source.setting(table);
    let file::Acme { domains, contact, folder, directory_url, ca_file, terms_agreed } = table;
    let directory = directory_url.map(|text| source.setting(text).try_map(|text| parse_directory(&text)));
    let directory = directory.transpose()?.map(|directory| directory.value);
    let agrees = terms_agreed.is_some_and(Spanned::into_inner);
    if !agrees {
        let terms = match &directory {
            None => "https://letsencrypt.org/repository/".to_owned(),
            Some(directory) => format!("the address that {directory} gives under meta.termsOfService"),
        };
        return Err(origin.refuses(format!(
            "an authority issues certificates to whoever agrees to its terms: read them ({terms}) and write terms_agreed = true \
             under [server.acme]"
        )));
    }
    let mut names: Vec<String> = Vec::new();
    for word in domains {
        let name = source.setting(word).try_map(|word| domain(&word))?.value;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() || names.len() > MOST_DOMAINS {
        return Err(origin.refuses(format!(
            "[server.acme] needs 1 to {MOST_DOMAINS} names that clients call, e.g. domains = [\"scim.example.com\"]"
        )));
    }
    let Some(folder) = folder else {
        return Err(origin.refuses(
            "[server.acme] needs a folder that lasts, for the account and the certificate, e.g. folder = \"/var/lib/scim-bridge/acme\"",
        ));
    };
    let contact = contact.map(|text| source.setting(text).try_map(|text| address(&text))).transpose()?;
    let roots = ca_file.map(|path| {
        let Setting { value: path, origin } = source.setting(path);
        fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable { named_by: origin, path, source })
    });
    let usual = || Url::parse(LETS_ENCRYPT).map_err(|error| origin.clone().refuses(error.to_string()));
    let value = Acme {
        domains: names,
        contact: contact.map(|contact| contact.value),
        folder: folder.into_inner(),
        directory: directory.map_or_else(usual, Ok)?,
        roots: roots.transpose()?,
    };
    Ok(Setting { value, origin })
}

/// The authority's address: by https alone (RFC 8555 §6.1), but for one on this machine.
fn parse_directory(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("directory_url is not an address ({error})"))?;
    match url.scheme() {
        "https" | "http" if !url.username().is_empty() || url.password().is_some() => {
            Err("write directory_url without user name and password".to_owned())
        }
        "https" => Ok(url),
        "http" if is_local(&url) => Ok(url),
        _ => Err(format!("directory_url must be an https address, e.g. {LETS_ENCRYPT}")),
    }
}

/// A name that a certificate can be had for by answering on its port 443 (RFC 8737).
fn domain(word: &str) -> Result<String, String> {
    if word.starts_with("*.") {
        return Err(format!(
            "`{word}` stands for many names, and which of them this program serves cannot be shown; write each name by itself"
        ));
    }
    if word.parse::<IpAddr>().is_ok() {
        return Err(format!("`{word}` is an address; write the host name that clients call"));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if word.len() > 253 || !word.split('.').all(is_label) {
        return Err(format!(
            "`{word}` is no host name; write e.g. scim.example.com, without https:// and port, other letters in Punycode"
        ));
    }
    Ok(word.to_ascii_lowercase())
}

/// What the authority may write to (RFC 8555 §7.3: one address, and nothing else in it).
fn address(text: &str) -> Result<String, String> {
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b",?@:".contains(&byte))
    };
    match text.split_once('@') {
        Some((local, domain)) if is_plain(local) && is_plain(domain) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no e-mail address; write e.g. contact = \"operations@example.com\"")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Acme;
    use crate::config::{Config, ConfigError, Sources, Tls};

    const LEAST: &str = "domains = ['scim.example.com']\nfolder = 'acme'\nterms_agreed = true\n";

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        fs::write(&file, text).unwrap();
        let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&Sources { file: Some(file), env: env.collect(), ..Sources::default() })
    }

    fn read(table: &str) -> Acme {
        let config = load(&format!("[server.acme]\n{table}"), &[]).unwrap();
        let Some(Tls::Acme(acme)) = config.entrance.tls else { panic!("{table}") };
        acme.value
    }

    fn error(table: &str) -> String {
        load(&format!("[server.acme]\n{table}"), &[]).unwrap_err().to_string()
    }

    #[test]
    fn three_lines_are_enough() {
        let acme = read(LEAST);
        assert_eq!(acme.directory.as_str(), "https://acme-v02.api.letsencrypt.org/directory");
        assert_eq!(
            (acme.domains, acme.contact, acme.roots),
            (vec!["scim.example.com".to_owned()], None, None)
        );
        let config = load(&format!("[server.acme]\n{LEAST}"), &[]).unwrap();
        assert_eq!(config.public_url.as_ref().unwrap().value.as_str(), "https://scim.example.com/");
        let told = format!("[server]\npublic_url = 'https://x.example.com:8443'\n[server.acme]\n{LEAST}");
        let public_url = load(&told, &[]).unwrap().public_url.unwrap();
        assert_eq!(public_url.value.as_str(), "https://x.example.com:8443/");
        let shown = config.describe().into_iter().find(|(name, ..)| name == "certificate").unwrap();
        assert!(shown.1.contains("scim.example.com") && shown.2.to_string().ends_with("line 1"), "{shown:?}");
        let other = load(&format!("[server.acme]\n{}", LEAST.replace("scim", "www")), &[]).unwrap();
        assert_eq!(config.differs_for_the_next_start(&other), ["server.public_url", "server.acme"]);
        assert!(config.differs_for_the_next_start(&config).is_empty());
    }

    #[test]
    fn everything_else_may_be_said() {
        let acme = read(
            "domains = ['SCIM.example.com', 'www.example.com', 'scim.example.com']\nfolder = '/var/lib/acme'\nterms_agreed = true\n\
             contact = 'operations@example.com'\ndirectory_url = 'https://ca.example.com/acme/acme/directory'\n",
        );
        assert_eq!(acme.domains, ["scim.example.com", "www.example.com"]);
        assert_eq!(acme.contact.as_deref(), Some("operations@example.com"));
        assert_eq!(acme.directory.as_str(), "https://ca.example.com/acme/acme/directory");
        read(&format!("{LEAST}directory_url = 'http://127.0.0.1:14000/dir'"));
    }

    #[test]
    fn mistakes_are_told_with_what_to_write() {
        for (more, told) in [
            ("directory_url = 'http://ca.example.com/dir'", "must be an https address"),
            ("directory_url = 'ca.example.com'", "directory_url is not an address"),
            ("directory_url = 'https://u:p@ca.example.com/'", "without user name and password"),
            ("contact = 'operations'", "is no e-mail address"),
            ("contact = 'mailto:operations@example.com'", "is no e-mail address"),
            ("contact = 'a@example.com,b@example.com'", "is no e-mail address"),
            ("ca_file = '/nowhere/ca.pem'", "cannot read /nowhere/ca.pem"),
            ("domain = 'scim.example.com'", "unknown field `domain`"),
        ] {
            let message = error(&format!("{LEAST}{more}"));
            assert!(message.contains(told) && message.contains("line"), "{more}: {message}");
        }
        for (domains, told) in [
            ("", "needs 1 to 100 names"),
            ("'*.example.com'", "write each name by itself"),
            ("'203.0.113.7'", "is an address"),
            ("'2001:db8::1'", "is an address"),
            ("'https://scim.example.com'", "is no host name"),
            ("'scim.example.com:443'", "is no host name"),
            ("'scim_bridge.example.com'", "is no host name"),
            ("'scim..example.com'", "is no host name"),
            ("'scim.example.com.'", "is no host name"),
            ("'-scim.example.com'", "is no host name"),
            ("'bücher.example.com'", "Punycode"),
        ] {
            let message = error(&format!("domains = [{domains}]\nfolder = 'acme'\nterms_agreed = true"));
            assert!(message.contains(told), "{domains}: {message}");
        }
        assert!(error("domains = ['a.example.com']\nterms_agreed = true").contains("needs a folder"));
    }

    #[test]
    fn the_terms_are_agreed_to_by_a_human() {
        for agreed in ["", "terms_agreed = false"] {
            let message = error(&format!("domains = ['scim.example.com']\nfolder = 'acme'\n{agreed}"));
            assert!(
                message.contains("letsencrypt.org/repository") && message.contains("terms_agreed"),
                "{message}"
            );
        }
        let message = error("directory_url = 'https://ca.example.com/dir'");
        assert!(message.contains("https://ca.example.com/dir gives under meta.termsOfService"), "{message}");
    }

    #[test]
    fn certificates_come_from_files_or_by_themselves() {
        let acme = format!("[server.acme]\n{LEAST}");
        for (text, variables) in [
            (format!("[server]\ntls_certificate_file = 'a'\ntls_key_file = 'b'\n{acme}"), vec![]),
            (format!("[server]\ntls_key_file = 'b'\n{acme}"), vec![]),
            (acme, vec![("SCIM_BRIDGE_TLS_CERTIFICATE_FILE", "/a")]),
        ] {
            let message = load(&text, &variables).unwrap_err().to_string();
            assert!(message.contains("cannot both be served"), "{message}");
        }
    }
}
