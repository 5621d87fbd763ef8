//! PATCH against a reference model: slow, obvious, and written from RFC 7644 §3.5.2 and the decisions listed in
//! `scim::patch`, not from its code. Both must come to the same resource, or to a refusal with the same keyword.

use openai_scim_bridge::scim::patch::PatchRequest;
use openai_scim_bridge::scim::resource::Resource;
use openai_scim_bridge::scim::schema::Registry;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 4_000, rng_seed: RngSeed::Fixed(7_644), ..ProptestConfig::default() }
}

/// One operation, in pieces.
#[derive(Debug, Clone)]
struct Step {
    op: &'static str,
    path: Option<Target>,
    value: Option<Value>,
}

/// What a path names: an attribute, which of its values, and a part of them.
#[derive(Debug, Clone)]
struct Target {
    attribute: &'static str,
    /// Conditions that all have to hold.
    filter: Vec<Condition>,
    sub: Option<&'static str>,
}

/// A sub-attribute, `eq` or `ne`, and a value.
#[derive(Debug, Clone)]
struct Condition {
    sub: &'static str,
    is_equal: bool,
    value: Value,
}

impl Step {
    fn to_json(&self) -> Value {
        let mut step = json!({"op": self.op});
        if let Some(Target { attribute, filter, sub }) = &self.path {
            let filter: Vec<_> = filter
                .iter()
                .map(|one| format!("{} {} {}", one.sub, if one.is_equal { "eq" } else { "ne" }, one.value))
                .collect();
            let filter =
                if filter.is_empty() { String::new() } else { format!("[{}]", filter.join(" and ")) };
            let sub = sub.map(|sub| format!(".{sub}")).unwrap_or_default();
            step["path"] = format!("{attribute}{filter}{sub}").into();
        }
        if let Some(value) = &self.value {
            step["value"] = value.clone();
        }
        step
    }
}

// The model. A refusal is its keyword.

type Refusal = &'static str;

fn patch(mut resource: Value, steps: &[Step]) -> Result<Value, Refusal> {
    for step in steps {
        match &step.path {
            Some(target) => apply(&mut resource, step.op, target, step.value.clone())?,
            None => {
                for (key, value) in step.value.as_ref().unwrap().as_object().unwrap() {
                    let (attribute, sub) = match key.split_once('.') {
                        Some(("name", sub)) => ("name", NAMES.into_iter().find(|name| *name == sub)),
                        _ => (ATTRIBUTES.into_iter().find(|name| name == key).unwrap(), None),
                    };
                    let target = Target { attribute, filter: Vec::new(), sub };
                    apply(&mut resource, step.op, &target, Some(value.clone()))?;
                }
            }
        }
    }
    Ok(resource)
}

fn apply(resource: &mut Value, op: &str, target: &Target, value: Option<Value>) -> Result<(), Refusal> {
    let before = resource.as_object_mut().unwrap().remove(target.attribute);
    let is_nothing = value.as_ref().is_none_or(Value::is_null);
    let after = match target.attribute {
        "emails" | "members" => {
            let list = before.map_or_else(Vec::new, |list| list.as_array().unwrap().clone());
            let list = apply_to_list(list, target.attribute == "members", op, target, value)?;
            Some(Value::from(list)).filter(|list| list != &json!([]))
        }
        "name" => {
            let mut name = before.map_or_else(Map::new, |name| name.as_object().unwrap().clone());
            let parts = match (target.sub, value) {
                (Some(sub), value) => Map::from_iter([(sub.to_owned(), value.unwrap_or_default())]),
                (None, Some(Value::Object(parts))) => parts,
                // `replace` by null or `remove` leaves nothing; `add` of null adds nothing.
                (None, _) if op == "add" => Map::new(),
                (None, _) => NAMES.map(|name| (name.to_owned(), Value::Null)).into_iter().collect(),
            };
            let removes_all = op == "remove" && target.sub.is_none();
            for (part, value) in parts {
                match value {
                    _ if op == "remove" => drop(name.remove(&part)),
                    Value::Null if op == "replace" => drop(name.remove(&part)),
                    Value::Null => {}
                    value if value.is_string() => drop(name.insert(part, value)),
                    _ => return Err("invalidValue"),
                }
            }
            Some(Value::from(name)).filter(|name| !removes_all && name != &json!({}))
        }
        attribute => {
            let is_required = attribute == "userName" || attribute == "active" && before.is_some();
            let after = match op {
                "remove" => None,
                "add" if is_nothing => before,
                _ => value.filter(|value| !value.is_null()),
            };
            let is_right =
                |value: &Value| if attribute == "active" { value.is_boolean() } else { value.is_string() };
            match after {
                Some(value) if !is_right(&value) => return Err("invalidValue"),
                // RFC 7644 §3.5.2.2: what is required cannot be removed.
                None if is_required => return Err("mutability"),
                after => after,
            }
        }
    };
    if let Some(after) = after {
        resource[target.attribute] = after;
    }
    Ok(())
}

fn apply_to_list(
    mut list: Vec<Value>,
    is_members: bool,
    op: &str,
    target: &Target,
    value: Option<Value>,
) -> Result<Vec<Value>, Refusal> {
    let selects =
        |element: &Value| target.filter.iter().all(|condition| condition.holds(element, is_members));
    let has_primary = |element: &Value| element["primary"] == json!(true);
    // The whole list.
    if target.filter.is_empty() && target.sub.is_none() {
        let given = match value {
            None | Some(Value::Null) if op == "remove" => return Ok(Vec::new()),
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(given)) => given,
            Some(one) => vec![one],
        };
        let given: Vec<_> = given.into_iter().filter(|element| element != &json!({})).collect();
        if op == "remove" {
            list.retain(|element| !given.iter().any(|given| is_listed(element, given, is_members)));
            return Ok(list);
        }
        if given.iter().filter(|element| has_primary(element)).count() > 1 {
            return Err("invalidValue");
        }
        if op == "replace" {
            return Ok(given);
        }
        let mut joined = Vec::new();
        for element in given {
            add(&mut joined, &element, is_members);
        }
        for element in joined {
            add(&mut list, &element, is_members);
        }
        return Ok(list);
    }
    // Some of its values, or a part of them.
    let given = match (value, target.sub) {
        (None | Some(Value::Null), _) => Map::new(),
        (Some(value), Some(sub)) => Map::from_iter([(sub.to_owned(), value)]),
        (Some(value), None) => value.as_object().unwrap().clone(),
    };
    if op == "remove" || (op == "replace" && given.is_empty()) {
        let mut kept = Vec::new();
        for mut element in list {
            if !selects(&element) {
                kept.push(element);
            } else if let Some(sub) = target.sub {
                element.as_object_mut().unwrap().remove(sub);
                kept.extend(Some(element).filter(|element| element != &json!({})));
            }
        }
        return Ok(kept);
    }
    if given.is_empty() {
        return Ok(list);
    }
    let selected: Vec<_> = (0..list.len()).filter(|index| selects(&list[*index])).collect();
    if selected.is_empty() {
        // The filter describes a new value, if it says what is equal to what, each once.
        let mut element = Map::new();
        for condition in &target.filter {
            if !condition.is_equal
                || element.insert(condition.sub.to_owned(), condition.value.clone()).is_some()
            {
                return Err("noTarget");
            }
        }
        element.extend(given);
        let element = Value::from(element);
        if !selects(&element) {
            return Err("noTarget");
        }
        add(&mut list, &element, is_members);
        return Ok(list);
    }
    for index in &selected {
        let element = list[*index].as_object_mut().unwrap();
        if op == "replace" && target.sub.is_none() {
            // The value as a whole is replaced, but for what it was found by, if the filter could describe it.
            let mut names: Vec<_> = target.filter.iter().map(|condition| condition.sub).collect();
            names.dedup();
            let describes = target.filter.iter().all(|condition| condition.is_equal);
            let describes = describes && names.len() == target.filter.len();
            element.retain(|name, _| describes && names.contains(&name.as_str()));
        }
        element.extend(given.clone());
    }
    if given.get("primary") == Some(&json!(true)) {
        if selected.len() > 1 {
            return Err("invalidValue");
        }
        make_primary(&mut list, selected[0]);
    }
    Ok(list)
}

impl Condition {
    fn holds(&self, element: &Value, is_exact: bool) -> bool {
        let is_same = match (&element[self.sub], &self.value) {
            (Value::String(one), Value::String(other)) => is_text(one, other, is_exact),
            (one, other) => one == other,
        };
        is_same == self.is_equal
    }
}

fn is_text(one: &str, other: &str, is_exact: bool) -> bool {
    if is_exact { one == other } else { one.to_lowercase() == other.to_lowercase() }
}

/// Adds a value, or completes the first that is the same.
fn add(list: &mut Vec<Value>, element: &Value, is_exact: bool) {
    let found = list.iter().position(|other| is_same(other, element, is_exact));
    let index = found.unwrap_or(list.len());
    if found.is_none() {
        list.push(json!({}));
    }
    list[index].as_object_mut().unwrap().extend(element.as_object().unwrap().clone());
    if element["primary"] == json!(true) {
        make_primary(list, index);
    }
}

/// Two values are the same if their `value` is and they are of no different type, or if nothing differs at all.
fn is_same(one: &Value, other: &Value, is_exact: bool) -> bool {
    match (one["value"].as_str(), other["value"].as_str()) {
        (Some(value), Some(other_value)) => {
            let types = (one["type"].as_str(), other["type"].as_str());
            is_text(value, other_value, is_exact)
                && !matches!(types, (Some(one), Some(other)) if !is_text(one, other, false))
        }
        (None, None) => one == other,
        _ => false,
    }
}

/// Whether a list of values to remove means `element`: one with the same `value`, else one with all its parts.
fn is_listed(element: &Value, given: &Value, is_exact: bool) -> bool {
    if given["value"].is_string() {
        return is_same(element, given, is_exact);
    }
    given.as_object().unwrap().iter().all(|(name, value)| match (&element[name], value) {
        (Value::String(one), Value::String(other)) => is_text(one, other, is_exact),
        (one, other) => one == other,
    })
}

fn make_primary(list: &mut [Value], winner: usize) {
    for (index, element) in list.iter_mut().enumerate() {
        if index != winner && element["primary"] == json!(true) {
            element["primary"] = json!(false);
        }
    }
}

// What is generated: few names and values, so that operations meet each other's results.

const NAMES: [&str; 2] = ["givenName", "familyName"];
const ATTRIBUTES: [&str; 6] = ["title", "userName", "active", "name", "emails", "members"];

fn op() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["add", "replace", "remove"])
}

fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["a", "A", "b", "ß"]).prop_map(Value::from)
}

fn kind() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["work", "Work", "home"]).prop_map(Value::from)
}

fn email() -> impl Strategy<Value = Value> {
    let parts = (
        prop::option::weighted(0.8, text()),
        prop::option::of(kind()),
        prop::option::weighted(0.3, any::<bool>().prop_map(Value::from)),
        prop::option::weighted(0.2, text()),
    );
    parts.prop_map(|(value, kind, primary, display)| {
        let parts = [("value", value), ("type", kind), ("primary", primary), ("display", display)];
        parts
            .into_iter()
            .filter_map(|(name, part)| Some((name.to_owned(), part?)))
            .collect::<Map<_, _>>()
            .into()
    })
}

fn sub() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        text().prop_map(|value| ("value", value)),
        kind().prop_map(|value| ("type", value)),
        any::<bool>().prop_map(|value| ("primary", value.into())),
        text().prop_map(|value| ("display", value)),
    ]
}

fn filter() -> impl Strategy<Value = Vec<Condition>> {
    let condition = (sub(), prop::bool::weighted(0.8)).prop_map(|((sub, value), is_equal)| Condition {
        sub,
        is_equal,
        value,
    });
    prop::collection::vec(condition, 1..3)
}

fn target(attribute: &'static str, filter: Vec<Condition>, sub: Option<&'static str>) -> Target {
    Target { attribute, filter, sub }
}

fn user_step() -> impl Strategy<Value = Step> {
    let simple = prop_oneof![
        (Just("title"), prop_oneof![4 => text(), 1 => Just(json!(5)), 1 => Just(Value::Null)]),
        (Just("userName"), prop_oneof![6 => text(), 1 => Just(Value::Null)]),
        (Just("active"), prop_oneof![6 => any::<bool>().prop_map(Value::from), 1 => Just(Value::Null)]),
    ];
    let simple = (op(), simple).prop_map(|(op, (name, value))| Step {
        op,
        path: Some(target(name, vec![], None)),
        value: Some(value),
    });
    let name_value = prop_oneof![4 => text(), 1 => Just(Value::Null)];
    let name_part =
        (op(), prop::sample::select(NAMES.to_vec()), name_value.clone()).prop_map(|(op, sub, value)| Step {
            op,
            path: Some(target("name", vec![], Some(sub))),
            value: Some(value),
        });
    let parts = prop::collection::vec((prop::sample::select(NAMES.to_vec()), name_value), 0..3);
    let name = parts.prop_map(|parts| {
        parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
    });
    let name = (op(), prop_oneof![6 => name, 1 => Just(Value::Null)]).prop_map(|(op, value)| Step {
        op,
        path: Some(target("name", vec![], None)),
        value: Some(value),
    });
    let emails = || prop::collection::vec(email(), 0..4).prop_map(Value::from);
    let list = prop_oneof![6 => emails(), 2 => email(), 1 => Just(Value::Null)];
    let list = (op(), prop::option::weighted(0.9, list)).prop_map(|(op, value)| Step {
        op,
        path: Some(target("emails", vec![], None)),
        value: if op == "remove" { value } else { Some(value.unwrap_or(Value::Null)) },
    });
    let element = (op(), filter(), prop_oneof![6 => email(), 1 => Just(Value::Null)]).prop_map(
        |(op, filter, value)| Step { op, path: Some(target("emails", filter, None)), value: Some(value) },
    );
    let part = (op(), prop_oneof![3 => filter(), 1 => Just(Vec::new())], sub(), prop::bool::weighted(0.1))
        .prop_map(|(op, filter, (sub, value), is_null)| Step {
            op,
            path: Some(target("emails", filter, Some(sub))),
            value: Some(if is_null { Value::Null } else { value }),
        });
    let keys =
        (prop::sample::select(vec!["add", "replace"]), text(), emails()).prop_map(|(op, text, emails)| {
            Step {
                op,
                path: None,
                value: Some(json!({"title": text, "name.givenName": text, "emails": emails})),
            }
        });
    prop_oneof![2 => simple, 1 => name_part, 1 => name, 3 => list, 3 => element, 4 => part, 1 => keys]
}

fn group_step() -> impl Strategy<Value = Step> {
    let member = || text().prop_map(|value| json!({"value": value}));
    let list = prop::collection::vec(member(), 0..4).prop_map(Value::from);
    let list = (op(), prop_oneof![6 => list, 2 => member()]).prop_map(|(op, value)| Step {
        op,
        path: Some(target("members", vec![], None)),
        value: Some(value),
    });
    let one = text().prop_map(|value| Step {
        op: "remove",
        path: Some(target("members", vec![Condition { sub: "value", is_equal: true, value }], None)),
        value: None,
    });
    let all = Just(Step { op: "remove", path: Some(target("members", vec![], None)), value: None });
    prop_oneof![6 => list, 3 => one, 1 => all]
}

/// Compares the program with the model.
fn check(type_name: &str, before: &Value, steps: &[Step]) -> Result<(), TestCaseError> {
    let resource_type = Registry::builtin().resource_type(type_name).unwrap();
    let body = json!({"Operations": steps.iter().map(Step::to_json).collect::<Vec<_>>()});
    let mut resource = Resource::try_from(before.clone()).unwrap();
    let request = PatchRequest::parse(body.clone()).unwrap();
    let actual = match request.apply(resource_type, &mut resource) {
        Ok(_) => Ok(Value::from(resource)),
        Err(error) => Err(error.scim_type.unwrap().as_str()),
    };
    prop_assert_eq!(actual, patch(before.clone(), steps), "{}", body);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn users_are_patched_as_the_model_patches_them(steps in prop::collection::vec(user_step(), 1..5)) {
        let jane = json!({
            "userName": "jane", "name": {"givenName": "Jane"},
            "emails": [{"value": "a", "type": "work", "primary": true}, {"value": "b"}, {"value": "a", "type": "home"}]
        });
        check("User", &jane, &steps)?;
    }

    #[test]
    fn members_are_patched_as_the_model_patches_them(steps in prop::collection::vec(group_step(), 1..6)) {
        check("Group", &json!({"displayName": "g", "members": [{"value": "a"}, {"value": "b"}]}), &steps)?;
    }
}
