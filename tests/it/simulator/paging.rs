//! The two paging schemes.

use super::*;

async fn five_invites(standin: &Standin) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(standin.invite(&format!("p{number}@example.com")).await.id());
    }
    ids
}

#[tokio::test]
async fn a_list_by_id_is_walked_by_after() {
    let standin = Standin::plain().await;
    let ids = five_invites(&standin).await;
    let first = standin.get(&format!("{INVITES}?limit=2")).await;
    assert_eq!(first.ids(), ids[..2]);
    let body = first.json();
    assert_eq!((&body["first_id"], &body["last_id"]), (&json!(ids[0]), &json!(ids[1])));
    assert_eq!(body["has_more"], true);
    let last = standin.get(&format!("{INVITES}?limit=3&after={}", ids[1])).await;
    assert_eq!(last.ids(), ids[2..]);
    assert_eq!(last.json()["has_more"], false);
    let beyond = standin.get(&format!("{INVITES}?after={}", ids[4])).await.json();
    assert_eq!(
        (&beyond["data"], &beyond["first_id"], &beyond["last_id"]),
        (&json!([]), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_cursor_that_was_deleted_is_404_where_documented() {
    let standin = Standin::plain().await;
    let ids = five_invites(&standin).await;
    standin.delete(&format!("{INVITES}/{}", ids[1])).await;
    assert_eq!(standin.get(&format!("{INVITES}?after={}", ids[1])).await.status, 404);
    assert_eq!(standin.get("/organization/projects?after=proj_none").await.status, 404);
    assert_eq!(standin.get(&format!("{USERS}?after=user-none")).await.status, 400);
    standin.simulator.set_options(|options| options.users_unknown_cursor = UnknownCursor::EmptyPage);
    let empty = standin.get(&format!("{USERS}?after=user-none")).await.json();
    assert_eq!((&empty["data"], &empty["has_more"]), (&json!([]), &json!(false)));
}

#[tokio::test]
async fn limits_out_of_range_are_400_and_defaults_hold() {
    let standin = Standin::plain().await;
    for number in 0..130 {
        standin.simulator.seed_member(&format!("m{number}@example.com"), OrgRole::Reader);
        standin.simulator.seed_group(&format!("g{number}"), false);
    }
    for limit in ["0", "101", "-1", "x", "1.5"] {
        assert_eq!(standin.get(&format!("{USERS}?limit={limit}")).await.status, 400, "{limit}");
    }
    assert_eq!(standin.get(USERS).await.ids().len(), 20);
    assert_eq!(standin.get(&format!("{USERS}?limit=100")).await.ids().len(), 100);
    assert_eq!(standin.get("/organization/groups").await.ids().len(), 100);
    assert_eq!(standin.get("/organization/groups?limit=1000").await.ids().len(), 130);
    assert_eq!(standin.get("/organization/groups?limit=1001").await.status, 400);
    let none = standin.get("/organization/groups?limit=0").await.json();
    assert_eq!((&none["data"], &none["has_more"]), (&json!([]), &json!(true)));
    standin.simulator.set_options(|options| options.page_cap = Some(3));
    assert_eq!(standin.get(&format!("{USERS}?limit=100")).await.ids().len(), 3);
}

#[tokio::test]
async fn a_list_by_next_is_walked_by_next_in_either_order() {
    let standin = Standin::plain().await;
    let ids: Vec<String> =
        (0..5).map(|number| standin.simulator.seed_group(&format!("g{number}"), false)).collect();
    for (order, wanted) in [("asc", ids.clone()), ("desc", ids.iter().rev().cloned().collect())] {
        let (mut walked, mut after) = (Vec::new(), String::new());
        loop {
            let page = standin.get(&format!("/organization/groups?limit=2&order={order}{after}")).await;
            walked.extend(page.ids());
            let body = page.json();
            assert!(body.get("last_id").is_none());
            assert_eq!(body["has_more"], body["next"] != Value::Null);
            let Some(next) = body["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(walked, wanted);
    }
    assert_eq!(standin.get("/organization/groups?after=group_none").await.status, 400);
    assert_eq!(standin.get("/organization/groups?order=up").await.status, 400);
}

#[tokio::test]
async fn group_members_come_newest_first_unless_asked_otherwise() {
    let standin = Standin::plain().await;
    let group = standin.simulator.seed_group("Engineers", false);
    let ids: Vec<String> = (0..3)
        .map(|number| {
            let id = standin.simulator.seed_member(&format!("m{number}@example.com"), OrgRole::Reader);
            standin.simulator.seed_group_member(&group, &id).unwrap();
            id
        })
        .collect();
    let path = format!("/organization/groups/{group}/users");
    assert_eq!(standin.get(&path).await.ids(), ids.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(standin.get(&format!("{path}?order=asc")).await.ids(), ids);
}
