//! What a refusal costs, counted in hashes and looks into the store: no clock can be trusted to show it.

use tempfile::TempDir;

use super::*;
use crate::access::token::work;

/// A door to two tenants, with a token of the settings.
async fn door() -> (Door, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
    let url = format!("sqlite://{}", folder.path().join("door.db").display());
    let store = Store::open(&url, clock.clone()).await.unwrap();
    let fixed = [(TenantId::default_tenant(), SecretString::from("a-token-of-the-settings-that-is-long"))];
    (Door::new(store, clock, &fixed), folder)
}

/// A token of a tenant, as it is after `change`.
async fn minted(door: &Door, tenant: &str, change: impl FnOnce(&mut TokenRecord)) -> String {
    let scopes = Scopes::provisioning();
    let (text, mut record) = token::mint(&door.clock, tenant.parse().unwrap(), String::new(), scopes, None);
    change(&mut record);
    let kept: Result<(), StoreError> = door
        .store
        .write(move |tx| {
            let record = record.clone();
            Box::pin(async move {
                tx.insert_token(&record).await?;
                match record.revoked_at {
                    Some(at) => tx.revoke_token(&record.tenant, &record.id, at).await.map(|_was_live| ()),
                    None => Ok(()),
                }
            })
        })
        .await;
    kept.unwrap();
    text.expose_secret().to_owned()
}

/// What comes of a token, and what it costs.
async fn cost(door: &Door, credential: &str) -> (String, (u32, u32)) {
    let tenant = TenantId::default_tenant();
    let attempt = Attempt { tenant: Some(&tenant), audience: "", form: Form::Bearer, credential };
    work::taken();
    let outcome = match door.admit(attempt).await.unwrap() {
        Verdict::Admitted(_) => "admitted",
        Verdict::Refused(refusal) => refusal.reason,
    };
    (outcome.to_owned(), work::taken())
}

#[tokio::test]
async fn every_refusal_of_a_token_costs_the_same() {
    let (door, _folder) = door().await;
    let good = minted(&door, "default", |_| {}).await;
    let now = door.clock.now();
    let expired = minted(&door, "default", |record| record.expires_at = Some(now)).await;
    let revoked = minted(&door, "default", |record| record.revoked_at = Some(now)).await;
    let foreign = minted(&door, "acme", |_| {}).await;
    let stranger = token::mint(&door.clock, TenantId::default_tenant(), String::new(), Scopes::admin(), None);
    // The name of a token on record with the secret of another.
    let part = |text: &str, number: usize| text.split('_').nth(number).unwrap().to_owned();
    let body = format!("scim_{}_{}", part(&good, 1), part(&foreign, 2));
    let wrong_secret = format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()));

    let cut_short: String = good.chars().take(good.len() - 1).collect();

    // Twice: what was read a moment ago is remembered, and must not make a difference.
    for round in 0..2 {
        for (case, credential, outcome) in [
            ("a name that nobody has", stranger.0.expose_secret(), "unknown"),
            ("a wrong secret", &*wrong_secret, "unknown"),
            ("expired", &*expired, "expired"),
            ("revoked", &*revoked, "revoked"),
            ("of another tenant", &*foreign, "foreign tenant"),
            ("rubbish", "x", "malformed"),
            ("a letter too few", &*cut_short, "malformed"),
            ("almost the token of the settings", "a-token-of-the-settings-that-is-lonh", "malformed"),
            ("very long", &*"x".repeat(4_000), "malformed"),
        ] {
            let expected = (outcome.to_owned(), (2, 1));
            assert_eq!(cost(&door, credential).await, expected, "{case}, round {round}");
        }
    }
    assert_eq!(cost(&door, &good).await, ("admitted".to_owned(), (2, 0)), "its record was read a moment ago");
}

#[tokio::test]
async fn a_token_that_was_refused_was_not_used() {
    let (door, _folder) = door().await;
    let text = minted(&door, "acme", |_| {}).await;
    assert_eq!(cost(&door, &text).await.0, "foreign tenant");
    let id = Presented::parse(&text).unwrap().id;
    assert_eq!(door.remembered(&id, door.clock.now()).unwrap().last_used_at, None);
}
