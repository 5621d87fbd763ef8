//! Pages by `startIndex` and `count`, whether the database or the bridge evaluates the filter.

use serde_json::{Value, json};

use crate::harness::bridge::{Actor, TestBridge};

async fn people(bridge: &TestBridge, count: usize) -> Actor {
    let okta = bridge.okta();
    for number in 0..count {
        bridge.clock.advance(jiff::SignedDuration::from_millis(1));
        okta.create(&json!({"userName": format!("u{number:03}@x.example"), "title": "Clerk"})).await;
    }
    okta
}

fn names(list: &Value) -> Vec<String> {
    let resources = list["Resources"].as_array().unwrap();
    assert_eq!(list["itemsPerPage"], resources.len());
    resources.iter().map(|user| user["userName"].as_str().unwrap().replace("@x.example", "")).collect()
}

#[tokio::test]
async fn pages_cover_everybody_once_in_a_stable_order() {
    let bridge = TestBridge::start().await;
    let okta = people(&bridge, 23).await;
    let everybody: Vec<_> = (0..23).map(|number| format!("u{number:03}")).collect();
    for filter in ["", "&filter=userName%20pr", "&filter=title%20eq%20%22clerk%22"] {
        let mut seen = Vec::new();
        while seen.len() < 23 {
            let query = format!("/Users?startIndex={}&count=10{filter}", seen.len() + 1);
            let list = okta.get(&query).await.expect(200);
            assert_eq!((&list["totalResults"], &list["startIndex"]), (&json!(23), &json!(seen.len() + 1)));
            seen.extend(names(&list));
        }
        assert_eq!(seen, everybody, "{filter}");
    }
}

#[tokio::test]
async fn numbers_far_outside_the_data_are_harmless() {
    let bridge = TestBridge::start().await;
    let okta = people(&bridge, 3).await;
    for filter in ["", "&filter=title%20eq%20%22clerk%22"] {
        for (query, start_index, expected) in [
            ("count=0", 1, vec![]),
            ("count=1", 1, vec!["u000"]),
            ("startIndex=1&count=2", 1, vec!["u000", "u001"]),
            ("startIndex=3&count=100", 3, vec!["u002"]),
            ("startIndex=4", 4, vec![]),
            ("startIndex=0&count=-1", 1, vec![]),
            ("startIndex=-7&count=1000000", 1, vec!["u000", "u001", "u002"]),
            ("startIndex=&count=", 1, vec!["u000", "u001", "u002"]),
        ] {
            let list = okta.get(&format!("/Users?{query}{filter}")).await.expect(200);
            assert_eq!(
                (&list["totalResults"], &list["startIndex"]),
                (&json!(3), &json!(start_index)),
                "{query}"
            );
            assert_eq!(names(&list), expected, "{query}");
        }
        let far = format!("/Users?startIndex={}9&count={}9{filter}", u64::MAX, u64::MAX);
        assert_eq!(names(&okta.get(&far).await.expect(200)), Vec::<String>::new());
    }
    okta.get("/Users?startIndex=one").await.expect_error(400, Some("invalidValue"));
    okta.get("/Users?count=1.5").await.expect_error(400, Some("invalidValue"));
}
