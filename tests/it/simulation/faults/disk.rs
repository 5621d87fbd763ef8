//! What a dead program leaves on disk: the database file, and as much of its write-ahead log as was written by then.
//!
//! A log is written from its beginning to its end, and a transaction counts from the frame on that says how large the
//! database is after it. So what the disk held at an earlier moment is found by cutting the log
//! (<https://www.sqlite.org/fileformat2.html#walformat>).

use std::path::Path;

use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::store::Store;
use sqlx::Row as _;
use tempfile::TempDir;

use crate::harness::database;

const FILE: &str = "bridge.db";
const LOG: &str = "bridge.db-wal";
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A database file and its log.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    file: Vec<u8>,
    log: Vec<u8>,
}

impl Disk {
    /// What is in this folder.
    pub(super) fn read(folder: &Path) -> Self {
        let file = std::fs::read(folder.join(FILE)).unwrap();
        let mut log = std::fs::read(folder.join(LOG)).unwrap_or_default();
        log.truncate(ends(&log).last().copied().unwrap_or_default());
        Self { file, log }
    }

    /// Puts it into a folder of its own.
    pub(super) fn unpack(&self) -> TempDir {
        let folder = tempfile::tempdir_in(memory()).unwrap();
        std::fs::write(folder.path().join(FILE), &self.file).unwrap();
        if !self.log.is_empty() {
            std::fs::write(folder.path().join(LOG), &self.log).unwrap();
        }
        folder
    }

    /// How long the log is.
    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    /// Where transactions end that were committed after the log was so long.
    pub(super) fn commits_after(&self, length: usize) -> Vec<usize> {
        ends(&self.log).into_iter().filter(|end| *end > length).collect()
    }

    /// What was there when the log was so long.
    pub(super) fn cut(&self, length: usize) -> Self {
        let mut cut = self.clone();
        cut.log.truncate(length);
        cut
    }

    /// What is there when the program dies while it writes the transaction that ends here: half of its last frame.
    pub(super) fn torn(&self, end: usize) -> Self {
        self.cut(end - page_size(&self.log) / 2)
    }

    /// The number that a question to the database is answered with.
    pub(super) async fn ask(&self, question: &'static str) -> i64 {
        let folder = self.unpack();
        let mut connection = database::connect(&url(folder.path())).await;
        sqlx::query(question).fetch_one(&mut connection).await.unwrap().get(0)
    }

    /// The same after this script.
    pub(super) async fn change(&self, script: &'static str) -> Self {
        let folder = self.unpack();
        let mut connection = database::connect(&url(folder.path())).await;
        sqlx::raw_sql(script).execute(&mut connection).await.unwrap();
        Self::read(folder.path())
    }
}

/// Opens the database in a folder.
pub(super) async fn open(folder: &Path, clock: &Clock) -> Store {
    Store::open(&url(folder), clock.clone()).await.unwrap()
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join(FILE).display())
}

/// Where databases live that are gone in a moment.
pub(super) fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn number(bytes: &[u8], at: usize) -> usize {
    let bytes: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
    usize::try_from(u32::from_be_bytes(bytes)).unwrap()
}

fn page_size(log: &[u8]) -> usize {
    number(log, 8)
}

/// Where transactions end. Frames of an earlier use of the file carry another salt.
fn ends(log: &[u8]) -> Vec<usize> {
    if log.len() < LOG_HEADER {
        return Vec::new();
    }
    let (salt, frame) = (&log[16..24], FRAME_HEADER + page_size(log));
    let mut ends = Vec::new();
    let mut start = LOG_HEADER;
    while start + frame <= log.len() && log[start + 8..start + 16] == *salt {
        if number(log, start + 4) != 0 {
            ends.push(start + frame);
        }
        start += frame;
    }
    ends
}
