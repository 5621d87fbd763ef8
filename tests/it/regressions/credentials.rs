//! Who may make, exchange and end credentials, and whom a signed text names.

use std::process::Command;

use jsonwebtoken::Header;
use openai_scim_bridge::model::trust::{Issuer, Trust};
use serde_json::{Value, json};

use crate::access_oauth::{ask, ask_with_assertion, token_of, with_key, with_secret};
use crate::harness::bridge::{PUBLIC_URL, TestBridge, user};
use crate::harness::issuer::{TestIssuer, TestKey};
use crate::harness::program::{Running, call_as, fail, folder, program, serving, succeed};
use crate::harness::standin::upstream;
use crate::harness::trail::trail_of_default;
use crate::scim_tls;

/// The status that a caller with this bearer token gets for the users below a base path.
async fn status(bridge: &TestBridge, base: &str, token: &str) -> u16 {
    bridge.anonymous().at(base).with_authorization(format!("Bearer {token}")).get("/Users").await.status
}

/// R7, WSO2-2019-0656 and WSO2-2021-1509: a certificate of the right authority was enough, whoever it named.
#[tokio::test]
async fn a_certificate_of_the_right_authority_for_somebody_else_opens_nothing() {
    let (server, theirs) = (scim_tls::authority(), scim_tls::authority());
    let rules = scim_tls::named(&theirs, "okta.example.com");
    let (bridge, _files) = scim_tls::certified(&server, rules).await;
    for (common_name, names, expected) in [
        ("okta", &["okta.example.com"][..], 200),
        ("vpn", &["vpn.example.com"], 401),
        // What stands elsewhere than among the names, or goes on beside the name, is not the name.
        ("okta.example.com", &["vpn.example.com"], 401),
        ("okta", &["okta.example.com.evil.example"], 401),
        ("okta", &["evil-okta.example.com"], 401),
        ("okta", &["*.example.com"], 401),
        ("okta", &[], 401),
    ] {
        let client = scim_tls::identity(&theirs, common_name, names);
        let token = scim_tls::with_token();
        let answer = scim_tls::get(bridge.address, &server, Some(&client), "/scim/v2/Users", &token).await;
        assert_eq!(answer.unwrap().0.status, expected, "{common_name} {names:?}");
    }
}

/// R15, open-mercato 3907: somebody without an organization was given a token for one. Here tokens are made by the
/// token endpoint and at the command line.
#[tokio::test]
async fn no_token_is_made_for_a_tenant_that_is_not_the_clients_own() {
    let oauth = || Trust { oauth: true, ..Trust::default() };
    let builder = TestBridge::builder().tenant("acme").trust("default", oauth()).trust("acme", oauth());
    let bridge = builder.start().await;
    let (id, secret) = with_secret(&bridge, "acme", "users:read").await;
    let base = format!("{PUBLIC_URL}/scim/v2");
    for more in [("resource", &*base), ("audience", &*base), ("tenant", "default"), ("aud", &*base)] {
        let proof = [("grant_type", "client_credentials"), ("client_id", &*id), ("client_secret", &*secret)];
        let token = token_of(&ask(&bridge, "/oauth/token", &[&proof[..], &[more]].concat()).await);
        assert_eq!(status(&bridge, "/tenants/acme/scim/v2", &token).await, 200, "{more:?}");
        assert_eq!(status(&bridge, "/scim/v2", &token).await, 401, "{more:?}");
    }

    let folder = folder();
    for name in ["nobody", "", "default ", "../default", "Default"] {
        for command in [["token", "create"], ["client", "add"]] {
            let output = program(folder.path()).args(command).args(["--tenant", name]).output().unwrap();
            assert!(!output.status.success() && output.stdout.is_empty(), "{command:?} {name:?}: {output:?}");
        }
    }
    assert_eq!(succeed(program(folder.path()).args(["token", "list", "--json"])).trim(), "[]");
}

/// R16, better-auth 9840: anybody could exchange the token of a connection that had no owner.
#[tokio::test]
async fn nobody_but_its_tenant_exchanges_or_ends_a_credential() {
    let (folder, (_simulator, upstream)) = (folder(), upstream().await);
    let folder = folder.path();
    let settings =
        format!("[tenants.acme.upstream]\nadmin_key_env = 'KEY'\nbase_url = 'http://{upstream}/v1'\n");
    std::fs::write(folder.join("settings.toml"), settings).unwrap();
    let with_settings = |mut command: Command| {
        command.env("SCIM_BRIDGE_CONFIG", "settings.toml").env("KEY", "sk-admin-simulator");
        command
    };
    let ours = |arguments: &[&str]| {
        let mut command = with_settings(program(folder));
        command.args(arguments).env("OPENAI_ADMIN_KEY", "sk-admin-simulator");
        command
    };
    let (_running, address) = Running::serve(&mut with_settings(serving(folder, upstream))).await;
    let token = succeed(&mut ours(&["token", "create"]));
    let id = token.split('_').nth(1).unwrap();
    let made: Value = serde_json::from_str(&succeed(&mut ours(&["client", "add", "--json"]))).unwrap();
    let client = made["client_id"].as_str().unwrap();
    for arguments in [
        &["token", "rotate", "start", id, "--tenant", "acme"][..],
        &["token", "revoke", id, "--tenant", "acme"],
        &["client", "remove", client, "--tenant", "acme"],
    ] {
        let told = fail(&mut ours(arguments), 1);
        assert!(told.contains("tenant `acme` has no"), "{told}");
    }
    let begun = succeed(&mut ours(&["token", "rotate", "start", id]));
    let new = begun.split('_').nth(1).unwrap();
    for step in ["complete", "cancel"] {
        fail(&mut ours(&["token", "rotate", step, new, "--tenant", "acme"]), 1);
    }
    for text in [&token, &begun] {
        call_as(text.trim(), address, "GET", "/scim/v2/Users", None).await.unwrap().expect(200);
    }
    let clients = succeed(&mut ours(&["client", "list", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&clients).unwrap()[0]["state"], "working");
}

/// R17, better-auth 9579: a connection was named like one that was built in, and took its place. Here tenants, issuers
/// and the holders of signed tokens have names that others choose.
#[tokio::test]
async fn no_name_that_somebody_chooses_takes_the_place_of_a_built_in_one() {
    let folder = folder();
    let add = |name: &str| {
        let mut command = program(folder.path());
        command.args(["tenant", "add", "--key-env", "KEY", "--", name]);
        command
    };
    let told = fail(&mut add("default"), 1);
    assert!(told.contains("`default`"), "{told}");
    for name in ["", "..", "__proto__", "Default", "dеfault", "a%2fb", "scim/v2", "-x", "1x", "a b"] {
        fail(&mut add(name), 2);
    }
    // These are words of ours as well, and harmless: a tenant stands below /tenants.
    for name in ["scim", "tenants", "oauth", "constructor"] {
        succeed(&mut add(name));
    }
    for table in ["[tenants.default]", "[tenants.'__proto__']", "[tenants.'']"] {
        std::fs::write(folder.path().join("settings.toml"), format!("{table}\nprofile = 'okta'\n")).unwrap();
        let told = fail(program(folder.path()).args(["tenant", "list", "--config", "settings.toml"]), 1);
        assert!(told.contains("settings.toml") && told.contains("tenant"), "{told}");
    }

    // An issuer named like our own token endpoint, and a holder named like the token of the settings.
    let issuer = TestIssuer::start().await;
    let audience = format!("{PUBLIC_URL}/scim/v2");
    let named_like_us = Issuer {
        issuer: PUBLIC_URL.to_owned(),
        jwks_url: Some(format!("{}/keys", issuer.url).parse().unwrap()),
        ..issuer.rules(&audience)
    };
    let static_holder = Issuer { clients: vec!["static".to_owned()], ..issuer.rules(&audience) };
    let trust = Trust { oauth: true, issuers: vec![named_like_us, static_holder], ..Trust::default() };
    let bridge = TestBridge::builder().trust("default", trust).start().await;
    let mut claims = issuer.claims(&audience, &bridge.clock);
    claims["appid"] = json!("static");
    let token = issuer.key.sign(&claims);
    let holder = bridge.anonymous().at("/scim/v2").with_authorization(format!("Bearer {token}"));
    holder.create(&user("jane@x.example")).await;
    let trail = trail_of_default(&bridge.store).await;
    assert_eq!(trail[0].actor, "token:jwt:static", "not the token of the settings");
    for (name, value) in [("iss", PUBLIC_URL), ("client_id", "idp"), ("jti", "1"), ("scope", "admin")] {
        claims[name] = json!(value);
    }
    for typ in ["JWT", "at+jwt"] {
        let header = Header { typ: Some(typ.to_owned()), ..issuer.key.header() };
        let forged = issuer.key.sign_with(&header, &claims);
        assert_eq!(status(&bridge, "/scim/v2", &forged).await, 401, "{typ}");
    }
}

/// R33, CVE-2026-9092 and CVE-2023-3128: a login was matched by an e-mail address that nobody had verified. Here the
/// holder of a signed token is known by what the settings name, and by no other claim.
#[tokio::test]
async fn the_holder_of_a_signed_token_is_known_by_its_subject_and_not_by_its_address() {
    let issuer = TestIssuer::start().await;
    let audience = format!("{PUBLIC_URL}/scim/v2");
    let subject = "admin@x.example";
    let rules = Issuer { clients: Vec::new(), subjects: vec![subject.to_owned()], ..issuer.rules(&audience) };
    let trust = Trust { issuers: vec![rules], ..Trust::default() };
    let bridge = TestBridge::builder().trust("default", trust).start().await;
    let ask = async |claims: &Value| status(&bridge, "/scim/v2", &issuer.key.sign(claims)).await;
    let mut good = issuer.claims(&audience, &bridge.clock);
    good["sub"] = json!(subject);
    good["email"] = json!("somebody@else.example");
    assert_eq!(ask(&good).await, 200);
    for name in ["email", "preferred_username", "upn", "unique_name", "name", "login", "appid", "oid"] {
        let mut claims = good.clone();
        claims["sub"] = json!("somebody");
        claims[name] = json!(subject);
        claims["email_verified"] = json!(true);
        assert_eq!(ask(&claims).await, 401, "{name}");
    }
    for sub in
        [json!("ADMIN@x.example"), json!([subject]), json!("admin@x.example "), json!({"sub": subject})]
    {
        let mut claims = good.clone();
        claims["sub"] = sub.clone();
        assert_eq!(ask(&claims).await, 401, "{sub}");
    }
}

/// R54, CVE-2026-9098 (Casdoor): logins that nobody had begun or that were used before were taken, also those of
/// providers that had been switched off.
#[tokio::test]
async fn what_is_switched_off_opens_nothing_at_once_and_a_proof_is_good_for_one_time() {
    let issuer = TestIssuer::start().await;
    let audience = format!("{PUBLIC_URL}/scim/v2");
    let trust = Trust { oauth: true, issuers: vec![issuer.rules(&audience)], ..Trust::default() };
    let bridge = TestBridge::builder().trust("default", trust.clone()).start().await;
    let key = TestKey::new("mine");
    let client = with_key(&bridge, &key).await;
    let expires = bridge.clock.now().as_second() + 300;
    let assertion = |jti: &str| {
        key.sign(&json!({ "iss": client, "sub": client, "aud": PUBLIC_URL, "jti": jti, "exp": expires }))
    };
    let ours = token_of(&ask_with_assertion(&bridge, &assertion("1")).await);
    ask_with_assertion(&bridge, &assertion("1")).await.expect(401);
    let theirs = issuer.key.sign(&issuer.claims(&audience, &bridge.clock));
    let both =
        async || (status(&bridge, "/scim/v2", &ours).await, status(&bridge, "/scim/v2", &theirs).await);
    assert_eq!(both().await, (200, 200));

    // Neither token has expired, and the clock stands still: it is the switch that ends them.
    let switch = |trust: Trust| bridge.door.take_on("default".parse().unwrap(), trust, None).unwrap();
    switch(Trust { issuers: Vec::new(), ..trust.clone() });
    assert_eq!(both().await, (200, 401));
    switch(Trust { oauth: false, ..trust.clone() });
    assert_eq!(both().await, (401, 200));
    ask_with_assertion(&bridge, &assertion("2")).await.expect(401);
    switch(trust.clone());
    assert_eq!(both().await, (200, 200));
    bridge.door.let_go(&"default".parse().unwrap());
    assert_eq!(both().await, (401, 401));

    // A login that nobody has begun: by an issuer that no settings name, which is not even asked for its keys.
    switch(trust);
    let stranger = TestIssuer::start().await;
    let unsolicited = stranger.key.sign(&stranger.claims(&audience, &bridge.clock));
    assert_eq!(status(&bridge, "/scim/v2", &unsolicited).await, 401);
    assert_eq!(stranger.fetched(), 0);
}
