//! The borders between the modules, checked on the source text: who may use whom, and where each library is at home.
//!
//! `ARCHITECTURE.md` gives the reasons. A rule names a module; the rule with the longest matching name counts.

use std::fs;
use std::path::{Path, PathBuf};

/// Module → the modules of ours that it may use besides its own descendants.
const IMPORTS: &[(&str, &[&str])] = &[
    ("ids", &["clock"]),
    ("clock", &["ids"]),
    ("files", &[]),
    ("telemetry", &["ids"]),
    ("scim", &[]),
    ("model", &["ids"]),
    ("config", &["ids", "model", "telemetry", "scim::profile"]),
    ("tls", &[]),
    // Its calls out, and the clock that they wait for.
    ("tls::acme", &["clock", "files", "telemetry", "tls"]),
    ("roster", &["ids"]),
    ("seal", &["clock", "ids"]),
    ("openai", &["clock", "telemetry", "tls"]),
    // What is in a token is pure.
    ("events::set", &["model", "events"]),
    ("events", &["ids", "clock", "files", "telemetry", "model", "roster", "scim::error", "store", "courier"]),
    // Judging a text is pure; the keys and the time are arguments.
    ("access::jwt", &["model", "access::keys"]),
    ("access::keys", &[]),
    ("access::token", &["clock", "ids", "model"]),
    // One key signs events and access tokens.
    ("access", &["ids", "clock", "telemetry", "model", "roster", "store", "tls", "events::key"]),
    // Signed calls out, one after the other.
    ("alarms", &["ids", "clock", "model", "store", "courier"]),
    ("courier", &["clock", "tls"]),
    ("simulator", &["clock"]),
    ("store", &["ids", "clock", "files", "model", "scim::filter", "scim::path", "scim::resource"]),
    // Deciding is pure: no store, no client, no clock.
    ("provision::desired", &["ids", "model"]),
    ("provision::plan", &["ids", "model", "provision::desired", "provision::guard"]),
    ("provision::guard", &["ids", "model", "provision::plan"]),
    ("provision::group_plan", &["ids", "model", "provision::desired", "provision::plan"]),
    ("provision::status", &["ids", "model", "provision::desired", "provision::plan"]),
    ("provision::handle", &["ids", "roster"]),
    ("provision", &["ids", "clock", "telemetry", "model", "roster", "store", "openai"]),
    (
        "directory",
        &["ids", "clock", "telemetry", "scim", "model", "roster", "store", "events", "provision::handle"],
    ),
    (
        "http",
        &[
            "access",
            "ids",
            "clock",
            "telemetry",
            "config",
            "scim",
            "model",
            "roster",
            "store",
            "directory",
            "tls",
            "provision::handle",
        ],
    ),
    (
        "app",
        &[
            "access",
            "ids",
            "clock",
            "telemetry",
            "config",
            "scim",
            "model",
            "store",
            "openai",
            "provision",
            "events",
            "alarms",
            "directory",
            "http",
            "seal",
            "tls",
        ],
    ),
    (
        "cli",
        &[
            "access",
            "app",
            "ids",
            "clock",
            "telemetry",
            "config",
            "scim",
            "model",
            "store",
            "openai",
            "provision",
            "directory",
            "http",
            "seal",
            "tls",
            "simulator",
        ],
    ),
    // Bugs for the tests of the tests; everybody may ask for theirs by its macro.
    ("planted", &[]),
    ("lib", &[]),
    ("main", &["cli"]),
];

/// Library → the modules that may name it. A library that is not listed is free.
const HOMES: &[(&str, &[&str])] = &[
    ("anyhow", &["app", "cli", "main"]),
    ("axum", &["http", "simulator"]),
    ("clap", &["cli", "main"]),
    ("csv", &["cli"]),
    // `tls` makes the clients; `cli::demo` plays an identity provider, so it is one of our own door.
    ("reqwest", &["openai", "cli::demo", "events::push", "access::fetch", "alarms", "courier", "tls"]),
    ("instant_acme", &["tls::acme"]),
    ("rcgen", &["tls::acme"]),
    ("jsonwebtoken", &["events::key", "access::jwt", "access::keys"]),
    ("sqlx", &["store"]),
    ("toml", &["config"]),
];

/// Libraries that pure modules must not name: nothing there waits, reads or writes.
const IMPURE: &[&str] = &["tokio", "sqlx", "reqwest", "axum", "hyper", "tracing"];
const PURE: &[&str] = &[
    "scim",
    "model",
    "events::set",
    "access::jwt",
    "access::keys",
    "access::token",
    "provision::desired",
    "provision::plan",
    "provision::guard",
    "provision::status",
];

/// Words that mark unfinished work, split so that this file does not hold them.
const MARKERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

struct Source {
    path: PathBuf,
    /// `provision::plan` for `src/provision/plan.rs`.
    module: String,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = module_of(path.strip_prefix(&root).unwrap());
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path, module, text });
            }
        }
    }
    assert!(!found.is_empty());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn module_of(path: &Path) -> String {
    let mut names: Vec<_> =
        path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names.join("::")
}

/// The code without comments and without what only tests compile (inline tests stand at the end of a file).
fn code_of(text: &str) -> String {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Whether `module` is `of` or lies within it.
fn is_within(module: &str, of: &str) -> bool {
    module.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that the code names from `start` (such as `crate`) on, with the braces of a `use` resolved.
fn paths_from(code: &str, start: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(start) {
        let (before, found) = code.split_at(at);
        let is_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let rest = found.strip_prefix(start).unwrap_or_default();
        if is_word && let Some(rest) = rest.strip_prefix("::") {
            expand(rest, "", &mut paths);
        } else if is_word && rest.starts_with(';') {
            paths.push(String::new());
        }
    }
    paths
}

/// Reads one `use` tree (or a plain path) at the beginning of `text`; returns what follows it.
fn expand<'t>(text: &'t str, prefix: &str, paths: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = expand(rest, prefix, paths);
            rest = after.trim_start().trim_start_matches(',');
            if after.len() == text.len() || rest.is_empty() {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    if let Some(rest) = rest.strip_prefix("::") {
        return expand(rest, &path, paths);
    }
    paths.push(path);
    // `as other` ends with the comma or brace of the group.
    rest.strip_prefix(" as ")
        .map_or(rest, |alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The paths of ours that a module names, also by `super`.
fn own_paths(module: &str, code: &str) -> Vec<String> {
    let mut paths = paths_from(code, "crate");
    paths.extend(paths_from(code, "openai_scim_bridge"));
    for path in paths_from(code, "super") {
        let mut base: Vec<_> = module.split("::").collect();
        base.pop();
        let mut path = path.as_str();
        while let Some(rest) = path.strip_prefix("super::") {
            base.pop();
            path = rest;
        }
        base.push(path);
        paths.push(base.join("::"));
    }
    paths
}

/// What a source breaks, each with the rule it breaks.
fn breaches(module: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut found = Vec::new();

    let rule = IMPORTS.iter().filter(|(name, _)| is_within(module, name)).max_by_key(|(name, _)| name.len());
    match rule {
        None => found.push(format!("`{module}` has no import rule: add one")),
        Some((name, allowed)) => {
            for path in own_paths(module, &code) {
                // The macros and items of the crate root belong to nobody.
                let is_free = is_within(&path, name) || !path.contains("::");
                if !is_free && !allowed.iter().any(|allowed| is_within(&path, allowed)) {
                    found.push(format!("`{module}` uses `{path}`; rule: `{name}` may use {allowed:?} alone"));
                }
            }
        }
    }
    for (library, homes) in HOMES {
        let is_home = homes.iter().any(|home| is_within(module, home));
        if !is_home && !paths_from(&code, library).is_empty() {
            found.push(format!("`{module}` names `{library}`; rule: that library is at home in {homes:?}"));
        }
    }
    if PURE.iter().any(|pure| is_within(module, pure)) {
        for library in IMPURE {
            if !paths_from(&code, library).is_empty() {
                found.push(format!("`{module}` names `{library}`; rule: {PURE:?} are pure"));
            }
        }
    }
    found
}

#[test]
fn modules_use_only_what_their_layer_allows() {
    let found: Vec<_> =
        sources("src").iter().flat_map(|source| breaches(&source.module, &source.text)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    for folder in ["src", "tests"] {
        for source in sources(folder) {
            assert!(source.text.starts_with("//! "), "{} does not open with `//! `", source.path.display());
        }
    }
}

#[test]
fn nothing_is_marked_as_unfinished() {
    for folder in ["src", "tests"] {
        for source in sources(folder) {
            for marker in MARKERS {
                let lines = source.text.lines().enumerate();
                let found: Vec<_> =
                    lines.filter(|(_, line)| line.contains(marker)).map(|(at, _)| at + 1).collect();
                assert!(found.is_empty(), "{}: {marker} in lines {found:?}", source.path.display());
            }
        }
    }
}

#[test]
fn a_breach_is_found_and_its_rule_named() {
    let breach = |module: &str, text: &str, named: &str| {
        let found = breaches(module, text);
        assert!(found.iter().any(|breach| breach.contains(named)), "{module}: {text}: {found:?}");
    };
    breach("openai::client", "use crate::store::Store;", "`openai` may use");
    breach(
        "openai::client",
        "use crate::{\n    clock::Clock,\n    store::{self, Store},\n};",
        "uses `store::Store`",
    );
    breach("openai::client", "fn f() { super::super::store::open(); }", "uses `store::open`");
    breach("provision::plan", "use super::execute::run;", "`provision::plan` may use");
    breach("simulator::routes", "use crate::openai::wire::Invite;", "`simulator` may use");
    breach("provision::guard", "async fn f() { tokio::task::yield_now().await }", "are pure");
    breach("directory::people", "use sqlx::Row as _;", "`sqlx`");
    breach("attic", "", "no import rule");
}

#[test]
fn what_the_rules_allow_is_no_breach() {
    for (module, text) in [
        ("openai::client", "use crate::clock::Clock;\nuse super::wire::{Invite, User as Member};"),
        ("provision::plan", "// use crate::store::Store;\nuse crate::model::policy::Policy;"),
        ("provision::plan", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}"),
        ("store", "use crate::scim::filter::Filter;\nfn f() -> my_sqlx::Row { todo }"),
        ("directory", "use crate::provision::handle::{Handle, Settlement};"),
    ] {
        assert_eq!(breaches(module, text), Vec::<String>::new(), "{module}: {text}");
    }
}
