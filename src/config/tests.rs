//! Each rule of the settings, through `Config::load`.

use std::io::Write;

use jiff::SignedDuration;

use super::*;
use crate::model::grant::{OrgRole, ProjectRole};
use crate::model::policy::{
    GroupSelector, OnAddressChange, OnDrift, OnExistingMember, Policy, RemovalLimits, Resend, Standstill,
};
use crate::scim::profile::Profile;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = file(text);
    Config::load(&Sources {
        file: Some(file.path().to_owned()),
        env: env(variables),
        flags: Flags::default(),
    })
}

fn default_tenant(config: &Config) -> &TenantConfig {
    &config.tenants[&TenantId::default_tenant()]
}

/// The error of these settings.
fn error(text: &str, variables: &[(&str, &str)]) -> String {
    load(text, variables).unwrap_err().to_string()
}

#[test]
fn without_any_setting_the_defaults_hold() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.listen.value.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url.value.expose_secret(), "sqlite://scim-bridge.db");
    assert_eq!((config.log_filter.value.as_str(), config.log_format.value), ("info", LogFormat::Text));
    assert!(config.public_url.is_none());
    let tenant = default_tenant(&config);
    assert_eq!(tenant.base_url.value.as_str(), "https://api.openai.com/v1");
    assert_eq!((tenant.base_url.origin.clone(), tenant.requests_per_minute.value), (Origin::Default, 7));
    assert_eq!(
        tenant.policy,
        Policy { census_interval: Some(SignedDuration::from_hours(24)), ..Policy::default() }
    );
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let file = file("[server]\n\nlisten = '127.0.0.1:1'\n");
    let mut sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    let listen = |sources: &Sources| {
        let Setting { value, origin } = Config::load(sources).unwrap().listen;
        (value.port(), origin)
    };
    assert_eq!(listen(&sources), (1, Origin::File { path: file.path().to_owned(), line: 3 }));
    sources.env = env(&[("SCIM_BRIDGE_LISTEN", "127.0.0.1:2")]);
    assert_eq!(listen(&sources), (2, Origin::Environment("SCIM_BRIDGE_LISTEN".to_owned())));
    sources.flags.listen = Some("127.0.0.1:3".to_owned());
    assert_eq!(listen(&sources), (3, Origin::Flag("--listen")));
}

#[test]
fn the_environment_can_name_the_file() {
    let file = file("[upstream]\nrequests_per_minute = 10");
    let path = file.path().to_str().unwrap();
    let sources = Sources { env: env(&[("SCIM_BRIDGE_CONFIG", path)]), ..Sources::default() };
    assert_eq!(default_tenant(&Config::load(&sources).unwrap()).requests_per_minute.value, 10);

    let sources = Sources { env: env(&[("SCIM_BRIDGE_CONFIG", "/nowhere.toml")]), ..Sources::default() };
    assert_eq!(
        Config::load(&sources).unwrap_err().to_string(),
        "SCIM_BRIDGE_CONFIG: cannot read /nowhere.toml"
    );
}

#[test]
fn the_example_of_the_contract_reads_as_it_says() {
    let config = load(
        r#"
        [upstream]
        requests_per_minute = 9
        [reconcile]
        interval_seconds = 60
        audit_log = true
        keys_interval_hours = 12
        [drift]
        group_deleted = "report"
        [invites]
        resend = "never"
        default_projects = [{ id = "proj_abc", role = "member" }]
        on_existing_member = "hold"
        on_address_change = "reinvite"
        allowed_domains = ["Example.com"]
        [safety]
        protected = ["BreakGlass@example.com"]
        min_owners = 3
        allow_owner_grants = true
        max_removals = 50
        max_removal_percent = 5
        removal_window_seconds = 1800
        max_removals_per_day = 80
        max_removal_percent_per_day = 8
        [[group_rules]]
        group = "Engineering"
        org_role = "member"
        project = "proj_abc"
        role = "owner"
        [[group_rules]]
        external_id = "0f1"
        org_role = "owner"
        "#,
        &[],
    )
    .unwrap();
    let TenantConfig { policy, requests_per_minute, .. } = default_tenant(&config);
    assert_eq!(requests_per_minute.value, 9);
    assert_eq!(policy.reconcile_interval, SignedDuration::from_secs(60));
    assert!(policy.follow_audit_log);
    assert_eq!(policy.census_interval, Some(SignedDuration::from_hours(12)));
    assert_eq!((policy.drift.group_deleted, policy.drift.project_added), (OnDrift::Report, OnDrift::Revert));
    assert_eq!((policy.resend, policy.on_existing_member), (Resend::Never, OnExistingMember::Hold));
    assert_eq!((policy.on_address_change, policy.min_owners), (OnAddressChange::Reinvite, 3));
    assert!(policy.protected.contains("breakglass@example.com") && policy.allow_owner_grants);
    assert!(policy.allowed_domains.contains("example.com"));
    assert_eq!(policy.default_projects[0].id.as_str(), "proj_abc");
    assert_eq!(policy.group_rules[0].group, GroupSelector::Name("Engineering".to_owned()));
    assert_eq!(policy.group_rules[0].effect.org_role, Some(OrgRole::Reader));
    assert_eq!(policy.group_rules[0].effect.project, Some(("proj_abc".into(), ProjectRole::Owner)));
    assert_eq!(policy.group_rules[1].group, GroupSelector::ExternalId("0f1".to_owned()));
    let limits = RemovalLimits {
        max_removals: 50,
        max_removal_percent: 5,
        window: SignedDuration::from_mins(30),
        max_removals_per_day: 80,
        max_removal_percent_per_day: 8,
    };
    assert_eq!(policy.removals, limits);
}

/// The settings that the README shows, block by block.
fn shown() -> Vec<&'static str> {
    let blocks = include_str!("../../README.md").split("```toml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_settings_that_the_readme_shows_are_all_known() {
    assert_eq!(shown().len(), 4);
    for block in shown() {
        let source = Source::new("README.md".as_ref(), block.to_owned());
        source.parse::<SettingsFile>().unwrap_or_else(|error| panic!("{error}:\n{block}"));
    }
}

#[test]
fn the_defaults_that_the_readme_shows_are_the_defaults() {
    /// Keys and tables of the first block that show what else can be set.
    const EXAMPLES: [&str; 10] = [
        "group_names",
        "audit_log",
        "allowed_domains",
        "default_projects",
        "protected",
        "seat_limit",
        "[alarms]",
        "[events]",
        "[[group_rules]]",
        "[[aliases]]",
    ];
    let is_example = |line: &str| EXAMPLES.iter().any(|example| line.starts_with(example));
    let (mut text, mut in_example_table) = (String::new(), false);
    for line in shown()[0].lines() {
        if line.starts_with('[') {
            in_example_table = is_example(line);
        }
        if !in_example_table && !is_example(line) {
            text += line;
            text.push('\n');
        }
    }
    assert!(text.lines().count() > 20, "{text}");
    let (shown, plain) = (load(&text, &[]).unwrap(), load("", &[]).unwrap());
    let (shown, plain) = (default_tenant(&shown), default_tenant(&plain));
    assert_eq!(shown.policy, plain.policy);
    assert_eq!(shown.requests_per_minute.value, plain.requests_per_minute.value);
}

#[test]
fn an_unknown_key_is_refused_with_its_name_and_line() {
    for (text, name, line) in [
        ("[safety]\nmin_owner = 2", "min_owner", 2),
        ("\n\n[saftey]\nmin_owners = 2", "saftey", 3),
        ("[[group_rules]]\ngroup = 'x'\norg_role = 'reader'\nprojects = 'p'", "projects", 4),
        ("[tenants.acme.invites]\nresent = 'auto'", "resent", 2),
        ("[invites]\ndefault_projects = [{ id = 'p', rule = 'member' }]", "rule", 2),
    ] {
        let error = error(text, &[]);
        assert!(error.contains(&format!("unknown field `{name}`")), "{error}");
        assert!(error.contains(&format!("line {line}:")), "{error}");
    }
}

#[test]
fn a_key_in_the_file_is_refused_without_being_shown() {
    let error = error("[upstream]\nadmin_key = 'sk-admin-secret'", &[]);
    assert!(error.contains("admin_key_file") && error.contains("line 2"), "{error}");
    assert!(!error.contains("sk-admin-secret"), "{error}");
}

#[test]
fn a_value_that_cannot_be_used_is_refused_with_what_to_write() {
    for (text, advice) in [
        ("[server]\nlisten = 'localhost'", "write e.g. 127.0.0.1:8080"),
        ("[server]\npublic_url = 'scim.example.com'", "write e.g. https://scim.example.com"),
        ("[server]\ndatabase_url = 'mysql://x'", "sqlite:// or postgres://"),
        ("[log]\nformat = 'xml'", "use text or json"),
        ("[log]\nfilter = 'info,x=loud'", "log filter is malformed"),
        ("[upstream]\nrequests_per_minute = 0", "use 1 to"),
        ("[upstream]\nrequests_per_minute = -1", "expected u32"),
        ("[upstream]\nbase_url = 'api.openai.com'", "is not an address"),
        ("[upstream]\nbase_url = 'ftp://api.openai.com'", "neither an https nor an http address"),
        ("[upstream]\nbase_url = 'https://me:pw@api.openai.com/v1'", "without user name"),
        ("[reconcile]\ninterval_seconds = 1", "use 10 to"),
        ("[reconcile]\nkeys_interval_hours = 9000", "use 0 to"),
        ("[drift]\ngroup_deleted = 'undo'", "use one of: report, revert, adopt"),
        ("[invites]\nresend = 'always'", "use one of: auto, never"),
        ("[invites]\non_existing_member = 'steal'", "use one of: link, hold, conflict"),
        ("[invites]\non_address_change = 'guess'", "use one of: hold, reinvite, refuse"),
        ("[invites]\nallowed_domains = ['@example.com']", "write e.g. example.com"),
        ("[invites]\ndefault_projects = [{ id = 'p', role = 'boss' }]", "use one of: owner, member"),
        ("[invites]\ndefault_projects = [{ id = '', role = 'member' }]", "looks like proj_abc"),
        (
            "[invites]\ndefault_projects = [{ id = 'p', role = 'member' }, { id = 'p', role = 'owner' }]",
            "is listed twice",
        ),
        ("[safety]\nmin_owners = 0", "use 1 to"),
        ("[safety]\nprotected = ['Jane <jane@example.com>']", "not a single plain e-mail address"),
        ("[safety]\nmax_removal_percent = 101", "use 0 to 100"),
        ("[safety]\nremoval_window_seconds = 1", "use 60 to"),
        ("[tenants.Acme]", "`Acme` is no tenant name"),
        ("[tenants.default]", "at the top level"),
    ] {
        let error = error(text, &[]);
        assert!(error.contains(advice) && error.contains(" line "), "{text}: {error}");
    }
}

#[test]
fn a_group_rule_must_say_which_group_and_what_it_gives() {
    for (rule, advice) in [
        ("org_role = 'reader'", "exactly one of group, group_id and external_id"),
        ("group = 'x'\ngroup_id = 'y'\norg_role = 'reader'", "exactly one of"),
        ("group = ' '\norg_role = 'reader'", "group is empty"),
        ("group = 'x'", "write org_role, project and role"),
        ("group = 'x'\nproject = 'proj_1'", "project needs role"),
        ("group = 'x'\nrole = 'member'", "needs project beside it"),
        ("group = 'x'\nproject_role = 'role_1'", "needs project and role beside it"),
        ("group = 'x'\norg_role = 'billing'", "use one of: owner, reader"),
    ] {
        let error = error(&format!("[[group_rules]]\n{rule}"), &[]);
        assert!(error.contains(advice), "{rule}: {error}");
    }
}

#[test]
fn an_alias_explains_a_value_that_nothing_else_explains() {
    for (alias, advice) in [
        ("org_role = 'reader'", "an alias needs value"),
        ("value = 'org:owner'\norg_role = 'reader'", "means something already"),
        ("value = 'Boss'\norg_role = 'owner'", "no attribute makes anybody an owner"),
        ("value = 'Boss'", "nothing is given"),
    ] {
        let error = error(&format!("[[aliases]]\n{alias}"), &[]);
        assert!(error.contains(advice), "{alias}: {error}");
    }
    let loaded = load("[[aliases]]\nvalue = 'Boss'\nproject = 'Research'\nrole = 'owner'", &[]).unwrap();
    assert_eq!(loaded.tenants[&TenantId::default_tenant()].policy.aliases.len(), 1);
}

#[test]
fn names_of_groups_follow_a_pattern_with_a_project_and_a_role() {
    for pattern in [
        "OpenAI",
        "<project>:<role>",
        "OpenAI:<role>:<project>",
        "a:<project><role>",
        "a:<b>:<project>:<role>",
    ] {
        assert!(error(&format!("group_names = '{pattern}'"), &[]).contains("is no pattern"), "{pattern}");
    }
    let loaded = load("group_names = 'OpenAI:<project>:<role>'", &[]).unwrap();
    let naming = loaded.tenants[&TenantId::default_tenant()].policy.group_naming.clone().unwrap();
    assert_eq!(naming.read("openai:Lab: East:owner"), Some(("Lab: East", "owner")));
    let rule = "groups = 'off'\n[[group_rules]]\ngroup = 'x'\nopenai_group = 'Staff'";
    assert!(error(rule, &[]).contains("groups = \"rules\""));
}

#[test]
fn owner_is_granted_by_id_alone_and_only_where_it_is_allowed() {
    let allowed = "[safety]\nallow_owner_grants = true\n";
    let by_name = error(&format!("{allowed}[[group_rules]]\ngroup = 'Admins'\norg_role = 'owner'"), &[]);
    assert!(by_name.contains("needs group_id or external_id"), "{by_name}");
    let word = error(&format!("{allowed}[[group_rules]]\ngroup = 'Admins'\norg_role = 'ADMIN'"), &[]);
    assert!(word.contains("needs group_id or external_id"), "{word}");
    let by_id = "[[group_rules]]\ngroup_id = '0190'\norg_role = 'owner'";
    assert!(error(by_id, &[]).contains("allow_owner_grants = true"));
    assert!(load(&format!("{allowed}{by_id}"), &[]).is_ok());
}

#[test]
fn plain_http_is_for_this_machine_alone_unless_allowed() {
    for url in
        ["http://127.0.0.1:9/v1", "http://localhost:9/v1", "http://[::1]:9/v1", "https://eu.example/v1"]
    {
        assert!(load("", &[("OPENAI_BASE_URL", url)]).is_ok(), "{url}");
    }
    let remote = [("OPENAI_BASE_URL", "http://sim:9/v1")];
    let refused = error("", &remote);
    assert!(refused.contains("OPENAI_BASE_URL: ") && refused.contains("in clear"), "{refused}");
    assert!(load("[upstream]\nallow_http = true", &remote).is_ok());
}

#[test]
fn secrets_come_from_the_environment_or_from_files() {
    let (key, token) = (file("sk-admin-1\n"), file(&format!("{TOKEN}\r\n")));
    let config = load(
        "",
        &[
            ("OPENAI_ADMIN_KEY_FILE", key.path().to_str().unwrap()),
            ("SCIM_BRIDGE_TOKEN_FILE", token.path().to_str().unwrap()),
        ],
    )
    .unwrap();
    let tenant = default_tenant(&config);
    assert_eq!(tenant.require_admin_key().unwrap().expose_secret(), "sk-admin-1");
    assert_eq!(tenant.admin_key.as_ref().unwrap().origin, Origin::SecretFile(key.path().to_owned()));
    assert_eq!(tenant.static_token.as_ref().unwrap().value.expose_secret(), TOKEN);

    let config = load("", &[("OPENAI_ADMIN_KEY", "sk-admin-2"), ("SCIM_BRIDGE_TOKEN", TOKEN)]).unwrap();
    let key = default_tenant(&config).admin_key.clone().unwrap();
    assert_eq!(key.value.expose_secret(), "sk-admin-2");
    assert_eq!(key.origin, Origin::Environment("OPENAI_ADMIN_KEY".to_owned()));
}

#[test]
fn a_database_address_may_come_from_a_file_and_shows_no_password() {
    let url = file("postgres://bridge:hunter2@db:5433/scim?password=hunter2\n");
    let config = load("", &[("SCIM_BRIDGE_DATABASE_URL_FILE", url.path().to_str().unwrap())]).unwrap();
    assert!(config.database_url.value.expose_secret().contains("hunter2"));
    assert_eq!(config.database_label(), "postgres://db:5433/scim");
}

#[test]
fn an_empty_or_broken_secret_is_refused() {
    assert!(error("", &[("OPENAI_ADMIN_KEY", "")]).contains("is set but empty"));
    assert!(error("", &[("SCIM_BRIDGE_TOKEN", "")]).contains("is set but empty"));
    assert!(error("", &[("OPENAI_ADMIN_KEY", "sk admin")]).contains("blanks"));
    let empty = file("\n");
    let path = empty.path().to_str().unwrap();
    assert!(error("", &[("OPENAI_ADMIN_KEY_FILE", path)]).contains("is set but empty"));
    assert!(
        error("", &[("OPENAI_ADMIN_KEY", "k"), ("OPENAI_ADMIN_KEY_FILE", path)]).contains("set one of them")
    );
    assert!(error("", &[("OPENAI_ADMIN_KEY_FILE", "/nowhere")]).contains("cannot read /nowhere"));
    let long = file(&"x".repeat(20_000));
    assert!(error("", &[("OPENAI_ADMIN_KEY_FILE", long.path().to_str().unwrap())]).contains("too long"));
}

#[test]
fn a_short_token_is_refused_with_a_way_to_make_a_long_one() {
    assert_eq!(
        error("", &[("SCIM_BRIDGE_TOKEN", "0123456789ab")]),
        "SCIM_BRIDGE_TOKEN: the token has 12 characters; use at least 32, e.g. from `openssl rand -hex 32`"
    );
}

#[test]
fn a_missing_key_is_explained() {
    let config = Config::load(&Sources::default()).unwrap();
    let error = default_tenant(&config).require_admin_key().unwrap_err().to_string();
    for part in
        ["`default` has no OpenAI admin key", "OPENAI_ADMIN_KEY ", "OPENAI_ADMIN_KEY_FILE", "https://"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn other_tenants_have_tables_and_keys_of_their_own() {
    let key = file("sk-admin-b");
    let text = format!(
        r#"
        [safety]
        min_owners = 5
        [tenants.alpha.upstream]
        admin_key_env = "ALPHA_KEY"
        base_url = "https://eu.api.openai.com/v1"
        [tenants.beta]
        group_rules = [{{ group = "All", org_role = "reader" }}]
        [tenants.beta.upstream]
        admin_key_file = "{}"
        "#,
        key.path().display()
    );
    let config = load(&text, &[("ALPHA_KEY", "sk-admin-a"), ("OPENAI_BASE_URL", "https://x/v1")]).unwrap();
    let names: Vec<&str> = config.tenants.keys().map(TenantId::as_str).collect();
    assert_eq!(names, ["alpha", "beta"], "`default` has no key and is not wanted");
    let [alpha, beta] = ["alpha", "beta"].map(|name| &config.tenants[&name.parse().unwrap()]);
    assert_eq!(alpha.require_admin_key().unwrap().expose_secret(), "sk-admin-a");
    assert_eq!(beta.require_admin_key().unwrap().expose_secret(), "sk-admin-b");
    assert_eq!(alpha.base_url.value.as_str(), "https://eu.api.openai.com/v1");
    assert_eq!(beta.base_url.value.as_str(), "https://x/v1");
    assert_eq!((alpha.policy.min_owners, beta.policy.group_rules.len()), (2, 1));

    let config = load(&text, &[("ALPHA_KEY", "sk-admin-a"), ("OPENAI_ADMIN_KEY", "sk-admin-d")]).unwrap();
    assert_eq!(config.tenants.len(), 3);
    assert_eq!(default_tenant(&config).policy.min_owners, 5);
    assert!(error(&text, &[]).contains("ALPHA_KEY is not set"));
    let both = "[tenants.a.upstream]\nadmin_key_env = 'A'\nadmin_key_file = '/a'";
    assert!(error(both, &[("A", "k")]).contains("set one of them"));
    let missing = load("[tenants.a]", &[]).unwrap();
    let missing = missing.tenants[&"a".parse().unwrap()].require_admin_key().unwrap_err().to_string();
    assert!(missing.contains("[tenants.a.upstream]"), "{missing}");
}

#[test]
fn nothing_shows_a_secret() {
    let variables = [
        ("OPENAI_ADMIN_KEY", "sk-admin-secret"),
        ("SCIM_BRIDGE_TOKEN", "secret-0123456789abcdef0123456789"),
        ("SCIM_BRIDGE_DATABASE_URL", "postgres://u:secret@db/scim"),
    ];
    let config = load("", &variables).unwrap();
    let sources = Sources { env: env(&variables), ..Sources::default() };
    let shown = format!("{config:?} {:?} {sources:?}", config.describe());
    assert!(
        !shown.contains("secret-") && !shown.contains("-secret") && !shown.contains(":secret"),
        "{shown}"
    );
    assert!(config.describe().contains(&(
        "default: admin key".to_owned(),
        "set".to_owned(),
        Origin::Environment("OPENAI_ADMIN_KEY".to_owned())
    )));
}

#[test]
fn there_is_no_event_feed_unless_it_is_turned_on() {
    for text in ["", "[events]", "[events]\nenabled = false", "[events]\naudience = 'hr'"] {
        let config = load(text, &[]).unwrap();
        assert!(default_tenant(&config).events.is_none(), "{text}");
        assert_eq!(config.signing_key_path().unwrap(), None);
    }
}

#[test]
fn a_feed_needs_no_more_than_to_be_turned_on() {
    let config = load("[events]\nenabled = true", &[]).unwrap();
    let events = default_tenant(&config).events.as_ref().unwrap();
    assert!(events.audience.is_none() && events.push.is_none());
    let beside = config.signing_key_path().unwrap().unwrap();
    assert_eq!(beside.to_str(), Some("scim-bridge.db.signing-key"));
}

#[test]
fn each_tenant_has_its_own_receiver_and_all_have_one_key() {
    let config = load(
        r#"
        [server]
        signing_key_file = "/run/secrets/events"
        [tenants.acme.events]
        enabled = true
        audience = "https://hr.acme.example"
        push_url = "https://hr.acme.example/events"
        push_token_env = "ACME_EVENTS"
        [tenants.other.events]
        enabled = false
        "#,
        &[("ACME_EVENTS", "receiver-secret")],
    )
    .unwrap();
    let tenant = |name: &str| &config.tenants[&name.parse::<TenantId>().unwrap()];
    assert!(tenant("other").events.is_none());
    let events = tenant("acme").events.as_ref().unwrap();
    assert_eq!(events.audience.as_deref(), Some("https://hr.acme.example"));
    let push = events.push.as_ref().unwrap();
    assert_eq!(push.url.value.as_str(), "https://hr.acme.example/events");
    assert_eq!(push.token.as_ref().unwrap().value.expose_secret(), "receiver-secret");
    assert_eq!(config.signing_key_path().unwrap(), Some("/run/secrets/events".into()));
    let shown = config.describe();
    let origin = shown.iter().find(|(name, ..)| name == "acme: events pushed to").unwrap();
    assert_eq!(origin.1, "https://hr.acme.example");
}

#[test]
fn an_event_feed_that_cannot_work_is_refused_with_what_to_write() {
    for (text, advice) in [
        ("[events]\npush_url = 'https://x.example'", "needs enabled = true"),
        ("[events]\nenabled = true\npush_url = 'http://x.example'", "use https, or set allow_http"),
        ("[events]\nenabled = true\npush_url = 'x.example'", "not an address"),
        ("[events]\nenabled = true\npush_url = 'ftp://x.example'", "neither an https nor an http"),
        ("[events]\nenabled = true\npush_url = 'https://me:pw@x.example'", "use push_token_file"),
        ("[events]\nenabled = true\npush_token_env = 'HERE'", "needs push_url"),
        ("[events]\nenabled = true\npush_token_env = 'GONE'", "GONE is not set"),
        ("[events]\nenabled = true\npush_token = 'secret'", "push_token_env or push_token_file"),
        ("[events]\nenabled = true\naudience = ' '", "audience is empty"),
        ("[events]\nenable = true", "unknown field `enable`"),
    ] {
        let error = error(text, &[("HERE", "receiver-secret")]);
        assert!(error.contains(advice), "{text}: {error}");
        assert!(!error.contains("me:pw") && !error.contains("'secret'"), "{error}");
    }
    for allowed in ["http://localhost:9/x", "http://127.0.0.1:9/x", "http://x.example'\nallow_http = true #'"]
    {
        let text = format!("[events]\nenabled = true\npush_url = '{allowed}");
        let text = if allowed.contains("allow") { text } else { format!("{text}'") };
        assert!(load(&text, &[]).is_ok(), "{text}");
    }
    let on_a_server =
        load("[server]\ndatabase_url = 'postgres://h/d'\n[events]\nenabled = true", &[]).unwrap();
    let error = on_a_server.signing_key_path().unwrap_err().to_string();
    assert!(error.contains("signing_key_file under [server]") && error.contains("line 2"), "{error}");
}

#[test]
fn each_tenant_has_a_profile_of_its_own() {
    let config = load(
        "profile = 'okta'\n[tenants.acme]\nprofile = 'entra'\n[tenants.other]\n",
        &[("OPENAI_ADMIN_KEY", "sk-admin-1")],
    )
    .unwrap();
    let profiles = config.tenants.iter().map(|(id, tenant)| (id.as_str(), tenant.profile.value));
    assert_eq!(
        profiles.collect::<Vec<_>>(),
        [("acme", Profile::Entra), ("default", Profile::Okta), ("other", Profile::Generic)]
    );
    let shown = config.describe();
    assert!(
        shown.iter().any(|(name, value, _)| (name.as_str(), value.as_str()) == ("acme: profile", "entra"))
    );
}

#[test]
fn an_unknown_profile_is_refused_with_the_known_ones_and_its_line() {
    let message = error("\n[tenants.acme]\nprofile = 'Octa'\n", &[]);
    assert!(message.contains("line 3") && message.contains("`Octa` is not a profile"), "{message}");
    for profile in Profile::ALL {
        assert!(message.contains(profile.as_str()), "{message}");
    }
}

#[test]
fn a_token_alone_in_the_header_is_taken_where_okta_may_send_it() {
    for (text, bare, basic) in [
        ("", true, false),
        ("profile = 'okta'", true, false),
        ("profile = 'entra'", false, false),
        ("profile = 'pingone'", false, true),
        ("profile = 'entra'\n[auth]\nbare = true\nbasic = true", true, true),
        ("profile = 'okta'\n[auth]\nbare = false", false, false),
    ] {
        let config = load(text, &[]).unwrap();
        let trust = &default_tenant(&config).trust.value;
        assert_eq!(
            (trust.bare, trust.basic, trust.oauth, trust.issuers.len()),
            (bare, basic, false, 0),
            "{text}"
        );
    }
}

#[test]
fn entra_needs_no_more_than_its_directory() {
    let id = "cbb1a5ac-f33b-45fa-9bf5-f37db0fed422";
    let config = load(&format!("[auth.entra]\ndirectory_id = '{id}'"), &[]).unwrap();
    let [issuer] = default_tenant(&config).trust.value.issuers.as_slice() else { panic!() };
    assert_eq!(issuer.issuer, format!("https://sts.windows.net/{id}/"));
    assert_eq!(issuer.audience, "8adf8e6e-67b2-4cf2-a259-e3dc5476c621");
    assert_eq!(issuer.clients, ["00000014-0000-0000-c000-000000000000"]);
    assert_eq!(issuer.directory.as_deref(), Some(id));
    assert!(issuer.jwks_url.as_ref().unwrap().as_str().contains(id));
    assert!(error("[auth.entra]\ndirectory_id = 'contoso'", &[]).contains("Tenant ID"));
}

#[test]
fn an_issuer_that_would_let_strangers_in_is_refused() {
    let issuer = |more: &str| {
        format!("[[auth.issuers]]\nissuer = 'https://idp.example.com'\naudience = 'scim'\n{more}")
    };
    let config = load(&issuer("clients = ['idp']\nscopes = ['users:read', 'users:write']"), &[]).unwrap();
    let issuers = &default_tenant(&config).trust.value.issuers;
    assert_eq!(issuers[0].scopes.to_string(), "users:read users:write");
    for (text, advice) in [
        (issuer(""), "clients or subjects"),
        (issuer("clients = ['']"), "empty audience, client"),
        (issuer("clients = ['idp']\nscopes = ['all']"), "`all` is not a scope"),
        (issuer("clients = ['idp']\njwks_url = 'http://idp.example.com/keys'"), "no https address"),
        (issuer("clients = ['idp']\njwks_url = 'https://10.0.0.1/keys'"), "allow_private"),
        (issuer("clients = ['idp']\njwks_url = 'https://localhost/keys'"), "allow_private"),
        (issuer("clients = ['idp']\nkeys = 'x'"), "unknown field"),
        ("[[auth.issuers]]\nissuer = 'http://10.0.0.1'\naudience = 'a'\nclients = ['i']\nallow_private = true".to_owned(), "no https"),
    ] {
        let error = error(&text, &[]);
        assert!(error.contains(advice), "{text}: {error}");
    }
    let local = "[[auth.issuers]]\nissuer = 'http://127.0.0.1:9'\naudience = 'a'\nclients = ['i']\nallow_private = true";
    assert!(load(local, &[]).is_ok());
}

#[test]
fn no_token_may_open_two_tenants() {
    let issuer = |tenant: &str, audience: &str, client: &str| {
        format!(
            "[[tenants.{tenant}.auth.issuers]]\nissuer = 'https://idp.example.com'\naudience = '{audience}'\nclients = ['{client}']\n"
        )
    };
    let both = |audience, client| issuer("a", "scim", "idp") + &issuer("b", audience, client);
    assert!(load(&both("other", "idp"), &[]).is_ok());
    assert!(load(&both("scim", "other"), &[]).is_ok());
    let error = error(&both("scim", "idp"), &[]);
    assert!(error.contains("`a` and `b` take the same tokens"), "{error}");
}

#[test]
fn clients_need_a_signing_key() {
    let config = load("[auth]\noauth = true", &[]).unwrap();
    assert!(default_tenant(&config).trust.value.oauth && config.signing_key_path().unwrap().is_some());
    let on_a_server = load("[server]\ndatabase_url = 'postgres://h/d'\n[auth]\noauth = true", &[]).unwrap();
    assert!(on_a_server.signing_key_path().is_err());
}

#[test]
fn guards_are_set_and_a_brake_in_the_settings_is_a_standstill() {
    let config = load(
        "mode = 'observe'\n[invites]\nmax_per_address = 2\n[safety]\nseat_limit = 40\n\
         [alarms]\nurl = 'https://pager.example/hook'\nsecret_env = 'HOOK'\nlate_removal_minutes = 10\n\
         [tenants.acme.safety]\nstop = true\n[tenants.other]\nmode = 'act'",
        &[("OPENAI_ADMIN_KEY", "sk-admin-1"), ("HOOK", "hook-secret")],
    )
    .unwrap();
    let tenant = default_tenant(&config);
    let policy = &tenant.policy;
    assert_eq!((policy.seat_limit, policy.max_invites_per_address), (Some(40), 2));
    assert_eq!(
        (policy.standstill, policy.late_removal),
        (Some(Standstill::Observe), SignedDuration::from_mins(10))
    );
    let alarms = tenant.alarms.as_ref().unwrap();
    assert_eq!(
        (alarms.url.value.as_str(), alarms.secret.value.expose_secret()),
        ("https://pager.example/hook", "hook-secret")
    );
    let standstills: Vec<_> = config.tenants.values().map(|tenant| tenant.policy.standstill).collect();
    assert_eq!(standstills, [Some(Standstill::Stop), Some(Standstill::Observe), None]);
    assert!(
        config
            .describe()
            .iter()
            .any(|(name, value, _)| name == "default: alarms sent to" && value == "https://pager.example")
    );
}

#[test]
fn guards_and_alarms_that_cannot_work_are_refused_with_what_to_write() {
    for (text, advice) in [
        ("mode = 'watch'", "use one of: act, observe"),
        ("[safety]\nseat_limit = 0", "use 1 to"),
        ("[invites]\nmax_per_address = 0", "use 1 to"),
        ("[alarms]\nurl = 'https://x.example'", "set secret_file or secret_env"),
        ("[alarms]\nsecret_env = 'HERE'", "needs url"),
        ("[alarms]\nurl = 'http://x.example'\nsecret_env = 'HERE'", "use https, or set allow_http"),
        ("[alarms]\nurl = 'https://me:pw@x.example'\nsecret_env = 'HERE'", "without user name"),
        ("[alarms]\nsecret = 'x'", "secret_env or secret_file"),
    ] {
        let error = error(text, &[("HERE", "hook-secret")]);
        assert!(error.contains(advice), "{text}: {error}");
    }
}
