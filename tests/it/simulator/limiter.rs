//! The limiter and its three dialects.

use super::*;

async fn limited() -> Standin {
    Standin::start(|options| options.limiter = LimiterOptions::default()).await
}

#[tokio::test]
async fn the_eighth_call_of_one_endpoint_in_a_minute_is_429() {
    let standin = limited().await;
    for _ in 0..7 {
        assert_eq!(standin.get(USERS).await.status, 200);
    }
    assert_eq!(standin.get(USERS).await.status, 429);
    assert_eq!(standin.get(INVITES).await.status, 200);
    assert_eq!(standin.get(&format!("{USERS}/user-none")).await.status, 404);
    standin.simulator.advance(SignedDuration::from_secs(60));
    assert_eq!(standin.get(USERS).await.status, 200);
}

#[tokio::test]
async fn items_of_one_template_share_a_window_and_a_429_has_no_effect() {
    let standin = Standin::start(|options| {
        options.limiter = LimiterOptions { requests: 1, ..LimiterOptions::default() };
    })
    .await;
    let (a, b) = (
        standin.simulator.seed_member("a@example.com", OrgRole::Reader),
        standin.simulator.seed_member("b@example.com", OrgRole::Reader),
    );
    assert_eq!(standin.delete(&format!("{USERS}/{a}")).await.status, 200);
    assert_eq!(standin.delete(&format!("{USERS}/{b}")).await.status, 429);
    assert!(standin.simulator.member(&b).is_some());
    assert_eq!(standin.simulator.calls("DELETE", "/organization/users/{user_id}"), 2);
    assert_eq!(standin.simulator.effects("DELETE", "/organization/users/{user_id}"), 1);
}

#[tokio::test]
async fn each_dialect_tells_the_delay_in_its_own_way() {
    let standin = limited().await;
    for _ in 0..7 {
        standin.get(USERS).await;
    }
    standin.simulator.advance(SignedDuration::from_millis(53_063));
    let text = standin.get(USERS).await;
    assert_eq!(text.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(text.json()["error"]["type"], "invalid_request_error");
    assert!(text.message().contains("please try again after 6.937 seconds"));
    assert!(!text.headers.contains_key("retry-after"));

    standin.simulator.set_options(|options| options.limiter.dialect = Dialect::RetryAfter);
    assert_eq!(standin.get(USERS).await.headers["retry-after"], "7");

    standin.simulator.set_options(|options| options.limiter.dialect = Dialect::PlainText);
    let plain = standin.get(USERS).await;
    assert_eq!((plain.status, &plain.headers["content-type"]), (429, &"text/plain".parse().unwrap()));
    assert!(plain.text.contains("making too many requests"));
    assert!(!plain.headers.contains_key("retry-after"));
}
