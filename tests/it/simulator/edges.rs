//! Routes, methods, bodies and headers.

use super::*;

#[tokio::test]
async fn unknown_routes_wrong_methods_and_broken_bodies_get_json_errors() {
    let standin = Standin::plain().await;
    for path in ["/organization/nothing", "/", "", "/organization/users/"] {
        let answer = standin.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.message().contains("Invalid URL"), "{path}");
    }
    let put = Standin::send(standin.request("PUT", "/v1/organization/users")).await;
    assert_eq!((put.status, &put.json()["error"]["code"]), (405, &json!("method_not_supported")));
    for body in ["{", "[]", "\"text\""] {
        let request = standin.request("POST", "/v1/organization/invites").body(body);
        assert_eq!(Standin::send(request).await.status, 400, "{body}");
    }
    let wrong = standin.post(INVITES, json!({"email": 5, "role": "reader"})).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["param"]), (400, &json!("email")));
    let missing = standin.post(INVITES, json!({"email": "a@example.com"})).await;
    assert_eq!((missing.status, &missing.json()["error"]["param"]), (400, &json!("role")));
}

#[tokio::test]
async fn every_answer_carries_the_general_headers() {
    let standin = Standin::plain().await;
    for path in [USERS, "/organization/nothing"] {
        let answer = standin.get(path).await;
        assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
        assert_eq!(answer.headers["openai-organization"], "org-simulator");
        assert_eq!(answer.headers["openai-version"], "2020-10-01");
        assert!(answer.headers.contains_key("openai-processing-ms"));
    }
}

#[tokio::test]
async fn ids_in_paths_are_decoded() {
    let standin = Standin::plain().await;
    let id = standin.simulator.seed_member("a@example.com", OrgRole::Reader);
    let escaped = id.replace('-', "%2D");
    assert_eq!(standin.get(&format!("{USERS}/{escaped}")).await.id(), id);
    let odd = standin.get(&format!("{USERS}/a%2Fb")).await;
    assert!(odd.message().contains("'a/b'"));
}
