//! Each attribute of the schemas with values of each type, over every verb that takes a body.

use openai_scim_bridge::scim::schema::{AttributeType, Mutability};
use serde_json::{Value, json};

use super::{Kind, Slot, Wall};

/// Values of every JSON type and shape.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(-1.5),
        json!(u64::MAX),
        json!(""),
        json!("odd"),
        json!([null]),
        json!([7]),
        json!([["a"]]),
        json!({"value": {}}),
        json!({"__proto__": {"isAdmin": true}}),
    ]
}

/// Whether no reading of the schema makes this a value of the attribute, not even a generous one.
fn is_wrong(slot: &Slot, value: &Value) -> bool {
    let leaf = slot.leaf();
    if slot.is_read_only() || leaf.mutability == Mutability::WriteOnly {
        return false;
    }
    match leaf.kind {
        AttributeType::Complex => value.is_number() || value.is_boolean(),
        AttributeType::Boolean => !(value.is_null() || value.is_boolean() || value.is_string()),
        AttributeType::Integer | AttributeType::Decimal => !(value.is_null() || value.is_number()),
        _ => !(value.is_null() || value.is_string()),
    }
}

/// Over all verbs where the value is wrong; over one of them in turn where it may be right.
async fn check(kind: Kind) -> usize {
    let mut wall = Wall::new().await;
    let values = values();
    let places = kind.slots().into_iter().flat_map(|slot| values.iter().map(move |value| (slot, value)));
    for (turn, (slot, value)) in places.enumerate() {
        let (mut new, path, mut put) = wall.bodies(kind);
        slot.put(&mut new, value.clone());
        slot.put(&mut put, value.clone());
        let at = slot.path();
        let is_wrong = is_wrong(&slot, value);
        for verb in 0..4 {
            if !is_wrong && turn % 4 != verb {
                continue;
            }
            let answer = match verb {
                0 => wall.post(kind.collection(), &new).await,
                1 => wall.put(&path, &put).await,
                2 => wall.patch(&path, json!([{"op": "replace", "path": at, "value": value}])).await,
                _ => wall.patch(&path, json!([{"op": "add", "value": {&at: value}}])).await,
            };
            if is_wrong {
                let error = answer.expect(400);
                // A path to a part of a list's values may have nothing to point to, or what is never changed.
                let of_paths = &["invalidValue", "noTarget", "mutability"];
                let expected = if verb < 2 { &of_paths[..1] } else { of_paths };
                let scim_type = error["scimType"].as_str().unwrap();
                assert!(expected.contains(&scim_type), "{at} = {value}, verb {verb}: {error}");
            }
        }
    }
    wall.cases
}

#[tokio::test]
async fn no_attribute_of_a_user_takes_a_value_of_another_type() {
    let cases = check(Kind::User).await;
    assert!(cases >= 1_500, "{cases}");
}

#[tokio::test]
async fn no_attribute_of_a_group_takes_a_value_of_another_type() {
    let cases = check(Kind::Group).await;
    assert!(cases >= 150, "{cases}");
}
