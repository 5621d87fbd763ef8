//! No secret that a test hands out may come back. Whatever else a test is about, its secrets are looked for in what
//! programs print and log, in answers, and in databases.

use std::path::Path;
use std::process::Command;

/// Shorter ones are words, and stand somewhere by chance.
pub(crate) const SHORTEST: usize = 16;

/// Fails if one of the secrets is in `bytes`.
#[track_caller]
pub(crate) fn must_not_be_in(place: &str, bytes: &[u8], secrets: &[String]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        if let Some((before, _)) = text.split_once(secret.as_str()) {
            let start = before.char_indices().nth_back(300).map_or(0, |(at, _)| at);
            panic!("a secret is in {place}, behind: {}", before.split_at(start).1);
        }
    }
}

/// Fails if one of the secrets is in a SQLite database of this folder.
#[track_caller]
pub(crate) fn must_not_be_stored(folder: &Path, secrets: &[String]) {
    for (place, bytes) in database_files(folder) {
        must_not_be_in(&place, &bytes, secrets);
    }
}

/// The files of the SQLite databases of a folder, each with its place. A folder that is gone has none.
pub(crate) fn database_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let databases = files.filter_map(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_database = name.split('.').any(|part| matches!(part, "db" | "db-wal"));
        let bytes = || std::fs::read(file.path()).unwrap_or_default();
        (is_database && !name.ends_with("signing-key")).then(|| (format!("the database {name}"), bytes()))
    });
    databases.collect()
}

/// The secrets that a command finds in its environment.
pub(crate) fn given_to(command: &Command) -> Vec<String> {
    let is_secret = |name: &str| {
        ["KEY", "TOKEN", "SECRET"].iter().any(|word| name.contains(word)) && !name.ends_with("_FILE")
    };
    let variables = command.get_envs().filter(|(name, _)| is_secret(&name.to_string_lossy()));
    variables.filter_map(|(_, value)| Some(value?.to_string_lossy().into_owned())).collect()
}

/// The credentials that a request presents: the last word of each `Authorization` header.
pub(crate) fn presented(request: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(request);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let values = headers.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    values.filter_map(|(_, value)| value.split_whitespace().last().map(str::to_owned)).collect()
}
