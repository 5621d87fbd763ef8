//! What lasts: the account with its key and the certificate with its own, in files for their owner's eyes only.
//!
//! Each authority has a folder of its own in the one of the settings, so that whoever tries another one first, such as
//! Let's Encrypt's staging environment, mixes nothing up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::files;

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.pem";

/// A file of the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be {done}; the program must be able to read and write there", path.display())]
pub struct FolderError {
    path: PathBuf,
    done: &'static str,
    source: io::Error,
}

/// The folder of one authority.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The one of the authority with this directory.
    pub(super) fn of(folder: &Path, directory: &Url) -> Self {
        let address = directory.as_str().split_once("://").map_or("", |(_, rest)| rest);
        let name: String =
            address.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        Self(folder.join(name.trim_matches(['-', '.'])))
    }

    /// Makes it, and sees that it can be written to.
    pub(super) fn make(&self) -> Result<(), FolderError> {
        let failed = |source| FolderError { path: self.0.clone(), done: "made", source };
        files::make_folder(&self.0).map_err(failed)?;
        let trial = self.0.join("trial");
        write(&trial, "")?;
        fs::remove_file(&trial).map_err(|source| FolderError { path: trial, done: "removed", source })
    }

    /// The account as it was kept.
    pub(super) fn account(&self) -> Result<Option<SecretString>, FolderError> {
        read(self.0.join(ACCOUNT))
    }

    pub(super) fn keep_account(&self, account: &SecretString) -> Result<(), FolderError> {
        write(&self.0.join(ACCOUNT), account.expose_secret())
    }

    /// Forgets an account that the authority does not know.
    pub(super) fn drop_account(&self) -> Result<(), FolderError> {
        let path = self.0.join(ACCOUNT);
        fs::remove_file(&path).map_err(|source| FolderError { path, done: "removed", source })
    }

    /// The certificate as it was kept, with its key and its chain.
    pub(super) fn certificate(&self) -> Result<Option<SecretString>, FolderError> {
        read(self.0.join(CERTIFICATE))
    }

    pub(super) fn keep_certificate(&self, pem: &SecretString) -> Result<(), FolderError> {
        write(&self.0.join(CERTIFICATE), pem.expose_secret())
    }
}

fn write(path: &Path, text: &str) -> Result<(), FolderError> {
    files::replace(path, text).map_err(|source| FolderError {
        path: path.to_owned(),
        done: "written",
        source,
    })
}

fn read(path: PathBuf) -> Result<Option<SecretString>, FolderError> {
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError { path, done: "read", source }),
    }
}
