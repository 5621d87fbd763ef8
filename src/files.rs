//! Files and folders for the eyes of their owner alone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Adds to options that a file they create is for the owner alone.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a folder and those above it, unless it is there.
///
/// # Errors
///
/// Why it cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Writes a file that is there whole or as it was before.
///
/// # Errors
///
/// Why it cannot be written; it is as it was then.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    by_draft(path, text, |draft| fs::rename(draft, path))
}

/// Writes a file that is there whole or not at all, and leaves one alone that is there already.
///
/// # Errors
///
/// Why it cannot be written.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    by_draft(path, text, |draft| match fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    })
}

/// Writes a file of this process beside the one that is meant, which `publish` makes of it.
fn by_draft(path: &Path, text: &str, publish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&draft);
    let published = written.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        publish(&draft)
    });
    let _removed = fs::remove_file(&draft).is_ok();
    published
}
