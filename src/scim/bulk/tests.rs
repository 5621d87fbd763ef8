//! Tests of bulk: order, references, refusals, answers.

#![expect(clippy::needless_pass_by_value, reason = "checks read best with literals given by value")]

use super::*;

const BASE: &str = "https://scim.example.com/scim/v2";

fn post(endpoint: &str, bulk_id: &str, data: Value) -> Value {
    json!({"method": "POST", "path": endpoint, "bulkId": bulk_id, "data": data})
}

fn user(bulk_id: &str) -> Value {
    post("/Users", bulk_id, json!({"userName": bulk_id}))
}

fn group(bulk_id: &str, member: &str) -> Value {
    post("/Groups", bulk_id, json!({"displayName": bulk_id, "members": [{"value": member}]}))
}

fn request(operations: impl IntoIterator<Item = Value>) -> Value {
    let operations: Vec<_> = operations.into_iter().collect();
    json!({"schemas": [BULK_REQUEST_URN], "Operations": operations})
}

/// Executes a request, every operation with success; a POST creates the id `<bulkId>-id`. What was executed, as
/// `method endpoint/id`, and the answers.
fn run(body: Value) -> (Vec<String>, Vec<Value>) {
    run_with(body, |_| None)
}

fn run_with(body: Value, fail: impl Fn(&Step) -> Option<ScimError>) -> (Vec<String>, Vec<Value>) {
    let mut run = BulkRequest::parse(body).unwrap().start();
    let mut executed = Vec::new();
    while let Some(step) = run.next_batch(1).pop() {
        let Step { method, endpoint, id, ticket, .. } = &step;
        let name = step.data.get("userName").or_else(|| step.data.get("displayName")).and_then(Value::as_str);
        let new_id = id.clone().unwrap_or_else(|| format!("{}-id", name.unwrap_or_default()));
        executed.push(format!("{method:?} {endpoint}/{new_id}"));
        let status = if *method == Method::Post { 201 } else { 200 };
        let ticket = Ticket(ticket.0);
        match fail(&step) {
            Some(error) => run.settle(ticket, Err(error)),
            None => run.settle(ticket, Ok(Done { status, id: new_id, version: Some(Version(1)) })),
        }
    }
    match run.into_response(BASE)["Operations"].take() {
        Value::Array(answers) => (executed, answers),
        other => panic!("{other}"),
    }
}

fn statuses(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["status"].as_str().unwrap()).collect()
}

#[test]
fn operations_keep_their_order_and_are_answered_with_status_location_and_version() {
    let (executed, answers) = run(request([
        user("a"),
        json!({"method": "put", "path": "/Users/1", "version": "W/\"3\"", "data": {}}),
        json!({"method": "PATCH", "path": "Users/2/", "data": {}}),
        json!({"method": "DELETE", "path": "/Groups/3"}),
    ]));
    assert_eq!(executed, ["Post /Users/a-id", "Put /Users/1", "Patch /Users/2", "Delete /Groups/3"]);
    assert_eq!(
        answers[0],
        json!({"location": format!("{BASE}/Users/a-id"), "method": "POST", "bulkId": "a", "version": "W/\"1\"",
               "status": "201"})
    );
    assert_eq!(answers[1]["method"], "PUT");
    assert_eq!(answers[3]["location"], format!("{BASE}/Groups/3"));
}

#[test]
fn the_version_is_the_condition_of_the_operation() {
    let body = request([json!({"method": "DELETE", "path": "/Users/1", "version": "W/\"3\""})]);
    let step = BulkRequest::parse(body).unwrap().start().next_batch(1).remove(0);
    assert!(step.version.unwrap().names(Version(3)));
}

#[test]
fn references_are_resolved_whatever_comes_first() {
    let (executed, answers) = run(request([
        group("outer", "bulkId:inner"),
        json!({"method": "PATCH", "path": "/Groups/bulkId:outer", "data": {"Operations": [
            {"op": "add", "path": "members", "value": [{"value": "bulkId:a", "$ref": "https://h/Users/bulkId:a"}]}
        ]}}),
        group("inner", "bulkId:a"),
        user("a"),
    ]));
    assert_eq!(
        executed,
        ["Post /Users/a-id", "Post /Groups/inner-id", "Post /Groups/outer-id", "Patch /Groups/outer-id"]
    );
    assert_eq!(statuses(&answers), ["201", "200", "201", "201"]);
    assert_eq!(answers[1]["location"], format!("{BASE}/Groups/outer-id"));
}

#[test]
fn every_reference_in_the_data_is_replaced_and_nothing_else() {
    let data = json!({
        "displayName": "g", "about": "see bulkId:a", "bulkId:a": [["bulkId:a"], "bulkId:", "BULKID:a"],
        "members": [{"value": "bulkId:a", "$ref": "../Users/bulkId:a"}, {"value": "../Users/bulkId:a"}]
    });
    let mut run = BulkRequest::parse(request([user("a"), post("/Groups", "g", data)])).unwrap().start();
    let first = run.next_batch(9).remove(0);
    run.settle(first.ticket, Ok(Done { status: 201, id: "1".to_owned(), version: None }));
    assert_eq!(
        run.next_batch(9).remove(0).data,
        json!({
            "displayName": "g", "about": "see bulkId:a", "bulkId:a": [["1"], "bulkId:", "BULKID:a"],
            "members": [{"value": "1", "$ref": "../Users/1"}, {"value": "../Users/bulkId:a"}]
        })
    );
}

#[test]
fn an_operation_moves_forward_only_for_one_that_refers_to_it() {
    let (executed, _) = run(request([
        json!({"method": "PATCH", "path": "/Groups/1", "data": {"x": "bulkId:a"}}),
        json!({"method": "DELETE", "path": "/Groups/1"}),
        user("b"),
        user("a"),
    ]));
    assert_eq!(executed, ["Post /Users/a-id", "Patch /Groups/1", "Delete /Groups/1", "Post /Users/b-id"]);
}

#[test]
fn a_batch_ends_before_what_needs_its_results() {
    let body = request([
        user("a"),
        user("b"),
        json!({"method": "GET"}),
        group("g", "bulkId:a"),
        group("h", "bulkId:h"),
        user("c"),
        json!({"method": "DELETE", "path": "/Users/1"}),
    ]);
    let sizes = |most: usize, fail_on_errors: Value, fails: bool| {
        let mut body = body.clone();
        body["failOnErrors"] = fail_on_errors;
        let mut run = BulkRequest::parse(body).unwrap().start();
        let mut sizes = Vec::new();
        loop {
            let batch = run.next_batch(most);
            if batch.is_empty() {
                return (sizes, run.into_response(BASE)["Operations"].as_array().unwrap().len());
            }
            sizes.push(batch.len());
            for Step { ticket, .. } in batch {
                let done = Done { status: 200, id: "1".to_owned(), version: None };
                run.settle(ticket, if fails { Err(ScimError::conflict("no")) } else { Ok(done) });
            }
        }
    };
    assert_eq!(sizes(10, json!(null), false), (vec![2, 3], 7));
    assert_eq!(sizes(2, json!(null), false), (vec![2, 2, 1], 7));
    // Never more at a time than the errors that are left.
    assert_eq!(sizes(10, json!(3), false), (vec![2, 1, 1, 1], 7));
    assert_eq!(sizes(10, json!(3), true), (vec![2], 3));
    assert_eq!(sizes(10, json!(2), true), (vec![2], 2));
    assert_eq!(sizes(10, json!(1), true), (vec![1], 1));
}

#[test]
fn circles_are_conflicts_and_what_refers_to_them_is_not_executed() {
    let (executed, answers) = run(request([
        group("after", "bulkId:one"),
        group("one", "bulkId:two"),
        group("two", "bulkId:one"),
        group("self", "bulkId:self"),
        user("a"),
    ]));
    assert_eq!(executed, ["Post /Users/a-id"]);
    assert_eq!(statuses(&answers), ["400", "409", "409", "409", "201"]);
    assert_eq!(answers[1]["response"]["scimType"], "invalidValue");
    assert_eq!(answers[1].get("location"), None);
}

#[test]
fn a_reference_to_nothing_or_to_a_failure_fails_alone() {
    let (executed, answers) = run_with(
        request([
            group("lost", "bulkId:nobody"),
            group("g", "bulkId:bad"),
            group("later", "bulkId:busy"),
            user("bad"),
            user("busy"),
            json!({"method": "PUT", "path": "/Users/bulkId:nobody", "data": {}}),
        ]),
        |step| match step.data["userName"].as_str() {
            Some("bad") => Some(ScimError::uniqueness("taken")),
            Some("busy") => Some(ScimError::unavailable("not now")),
            _ => None,
        },
    );
    assert_eq!(executed, ["Post /Users/bad-id", "Post /Users/busy-id"]);
    assert_eq!(statuses(&answers), ["400", "400", "503", "409", "503", "400"]);
    assert_eq!(answers[0]["response"]["scimType"], "invalidValue");
    assert_eq!(answers[3]["response"]["scimType"], "uniqueness");
    assert_eq!(answers[5]["location"], format!("{BASE}/Users/bulkId:nobody"));
}

#[test]
fn the_run_stops_after_the_errors_that_are_accepted() {
    for (fail_on_errors, expected) in
        [(json!(null), 4), (json!(0), 2), (json!(1), 2), (json!(2), 3), (json!(9), 4)]
    {
        let mut body = request([
            user("a"),
            group("g", "bulkId:no"),
            json!({"method": "GET"}),
            json!({"method": "DELETE", "path": "/Users/1"}),
        ]);
        body["failOnErrors"] = fail_on_errors.clone();
        let (executed, answers) = run(body);
        assert_eq!(answers.len(), expected, "{fail_on_errors}");
        assert_eq!(executed.len(), if expected == 4 { 2 } else { 1 }, "{fail_on_errors}");
    }
}

#[test]
fn an_operation_that_cannot_be_read_fails_alone() {
    let (executed, answers) = run(request([
        json!("x"),
        json!({"method": "GET", "path": "/Users/1"}),
        json!({"method": "POST", "path": "/Users", "data": {}}),
        json!({"method": "POST", "path": "/Users/1", "bulkId": "z", "data": {}}),
        json!({"method": "POST", "path": "/Users", "bulkId": "b"}),
        json!({"method": "PUT", "path": "/Users", "data": {}}),
        json!({"method": "PUT", "path": "/Users/1/x", "data": {}}),
        json!({"method": "DELETE", "path": "/Users/1?x=y"}),
        json!({"method": "DELETE", "path": "/Users/.."}),
        json!({"method": "DELETE", "path": "/Users/1", "version": "3"}),
        user("a"),
    ]));
    assert_eq!(executed, ["Post /Users/a-id"]);
    assert_eq!(statuses(&answers)[..10], ["400"; 10]);
}

#[test]
fn a_bulk_id_given_twice_is_no_reference() {
    let (executed, answers) = run(request([user("a"), user("a"), group("g", "bulkId:a"), user("b")]));
    assert_eq!(executed, ["Post /Users/b-id"]);
    assert_eq!(statuses(&answers), ["400", "400", "400", "201"]);
}

#[test]
fn what_is_no_bulk_request_is_refused_as_a_whole() {
    for body in [
        json!([]),
        json!({}),
        json!({"Operations": {}}),
        json!({"Operations": [], "failOnErrors": -1}),
        json!({"Operations": [], "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}),
    ] {
        assert_eq!(BulkRequest::parse(body).unwrap_err().status, 400);
    }
    let many = request((0..=MAX_BULK_OPERATIONS).map(|n| user(&n.to_string())));
    assert_eq!(BulkRequest::parse(many).unwrap_err().status, 413);
}

#[test]
fn a_chain_of_all_operations_is_walked_without_recursion() {
    let last = MAX_BULK_OPERATIONS - 1;
    let chain = (0..=last).map(|n| group(&n.to_string(), &format!("bulkId:{}", n + 1)));
    let (executed, answers) = run(request(chain.clone()));
    assert!(executed.is_empty());
    assert_eq!(answers.len(), MAX_BULK_OPERATIONS);
    let (executed, _) = run(request(chain.take(last).chain([user(&last.to_string())])));
    assert_eq!((executed.len(), executed[0].as_str()), (MAX_BULK_OPERATIONS, "Post /Users/999-id"));
}
