//! The control calls over HTTP, outside `/v1`, for those who are not in the same process.
//!
//! | call | body | effect |
//! |---|---|---|
//! | `GET /control/operations` | | every method and path template that is served |
//! | `GET /control/state` | | the whole organization |
//! | `GET /control/ledger` | | every call; `?method=` and `?template=` choose |
//! | `DELETE /control/ledger` | | forgets the calls so far |
//! | `POST /control/reset` | | back to the start, with the options of the start |
//! | `GET`, `PATCH /control/options` | any of [`Options`](super::Options) | reads or changes switches |
//! | `GET`, `PUT /control/limiter` | [`LimiterOptions`] | changes the limiter and empties its windows |
//! | `GET`, `POST`, `DELETE /control/faults` | [`FaultRule`] | lists, adds, clears |
//! | `GET`, `POST /control/clock` | `{"advance_seconds": 60}` | moves the stand-in's clock, on any clock below |
//! | `POST /control/invites` | `{"email", "role"?}` | an invite out of band |
//! | `POST /control/invites/accept` | `{"invite": id or address, "email"?, "name"?}` | the person joins |
//! | `POST /control/invites/decline` | `{"invite"}` | the invite counts as expired |
//! | `DELETE /control/invites/{invite}` | | deletes it out of band |
//! | `POST /control/members` | `{"email", "role"?, "is_scim_managed"?}` | a member out of band |
//! | `POST /control/members/{member}/role` | `{"role"}` | changes the role out of band |
//! | `DELETE /control/members/{member}` | | removes the member out of band |
//! | `POST /control/service_accounts` | `{"name"}` | a service account in the default project |
//! | `POST /control/projects` | `{"name"}` | a project |
//! | `POST /control/projects/{project}/users` | `{"member", "role"?}` | a project user |
//! | `POST /control/projects/{project}/keys` | `{"member", "name"}` | a person's key in a project |
//! | `POST /control/groups` | `{"name", "is_scim_managed"?, "members"?}` | a group |
//! | `DELETE /control/keys` | `{"value"}` | revokes an admin key |
//!
//! `member` is a user id or an address. Answers are JSON; what cannot be done is a 404 or a 409 with `{"error"}`.

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Simulator;
use super::control::ControlError;
use super::faults::FaultRule;
use super::objects::{OrgRole, ProjectRole};
use super::options::LimiterOptions;

pub(super) fn router() -> Router<Simulator> {
    Router::new()
        .route("/control/state", get(async |State(simulator): State<Simulator>| Json(simulator.state())))
        .route("/control/operations", get(async || Json(json!({"operations": Simulator::operations()}))))
        .route("/control/ledger", get(ledger).delete(clear_ledger))
        .route("/control/reset", post(reset))
        .route("/control/options", get(options).patch(set_options))
        .route("/control/limiter", get(limiter).put(set_limiter))
        .route("/control/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/control/clock", get(clock).post(move_clock))
        .route("/control/invites", post(seed_invite))
        .route("/control/invites/accept", post(accept))
        .route("/control/invites/decline", post(decline))
        .route("/control/invites/{invite}", delete(remove_invite))
        .route("/control/members", post(seed_member))
        .route("/control/members/{member}", delete(remove_member))
        .route("/control/members/{member}/role", post(set_role))
        .route("/control/service_accounts", post(seed_service_account))
        .route("/control/projects", post(seed_project))
        .route("/control/projects/{project}/users", post(seed_project_user))
        .route("/control/projects/{project}/keys", post(seed_project_key))
        .route("/control/groups", post(seed_group))
        .route("/control/keys", delete(revoke_key))
}

type Outcome = Result<Json<Value>, Problem>;

/// An error answer of a control call.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::Unknown { .. } => StatusCode::NOT_FOUND,
            ControlError::Refused(_) => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

/// A JSON body whatever its content type says, with an error that tells what is wrong with it.
struct Input<T>(T);

impl<T: DeserializeOwned> FromRequest<Simulator> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Simulator) -> Result<Self, Problem> {
        let bad = |message: String| Problem(StatusCode::BAD_REQUEST, message);
        let body = axum::body::to_bytes(request.into_body(), super::MAX_BODY_BYTES).await;
        let body = body.map_err(|error| bad(error.to_string()))?;
        serde_json::from_slice(&body).map(Self).map_err(|error| bad(error.to_string()))
    }
}

const DONE: Outcome = Ok(Json(Value::Null));

#[derive(Deserialize)]
struct Chosen {
    method: Option<String>,
    template: Option<String>,
}

async fn ledger(State(simulator): State<Simulator>, Query(chosen): Query<Chosen>) -> Outcome {
    let mut entries = simulator.ledger();
    entries.retain(|entry| {
        chosen.method.as_ref().is_none_or(|method| entry.method == *method)
            && chosen.template.as_deref().is_none_or(|template| entry.template == Some(template))
    });
    Ok(Json(json!({"entries": entries})))
}

async fn clear_ledger(State(simulator): State<Simulator>) -> Outcome {
    simulator.clear_ledger();
    DONE
}

async fn reset(State(simulator): State<Simulator>) -> Outcome {
    simulator.reset();
    DONE
}

async fn options(State(simulator): State<Simulator>) -> Outcome {
    Ok(Json(json!(simulator.options())))
}

async fn set_options(State(simulator): State<Simulator>, Input(changes): Input<Value>) -> Outcome {
    let mut merged = json!(simulator.options());
    if let (Some(merged), Some(changes)) = (merged.as_object_mut(), changes.as_object()) {
        merged.extend(changes.clone());
    }
    let changed = serde_json::from_value(merged)
        .map_err(|error| Problem(StatusCode::BAD_REQUEST, error.to_string()))?;
    simulator.set_options(|options| *options = changed);
    options(State(simulator)).await
}

async fn limiter(State(simulator): State<Simulator>) -> Outcome {
    Ok(Json(json!(simulator.options().limiter)))
}

async fn set_limiter(State(simulator): State<Simulator>, Input(options): Input<LimiterOptions>) -> Outcome {
    simulator.set_limiter(options);
    DONE
}

async fn faults(State(simulator): State<Simulator>) -> Outcome {
    Ok(Json(json!({"faults": simulator.faults()})))
}

async fn add_fault(State(simulator): State<Simulator>, Input(rule): Input<FaultRule>) -> Outcome {
    simulator.add_fault(rule)?;
    DONE
}

async fn clear_faults(State(simulator): State<Simulator>) -> Outcome {
    simulator.clear_faults();
    DONE
}

async fn clock(State(simulator): State<Simulator>) -> Outcome {
    Ok(Json(json!({"now": simulator.now().to_string()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    advance_seconds: u32,
}

async fn move_clock(
    State(simulator): State<Simulator>,
    Input(Move { advance_seconds }): Input<Move>,
) -> Outcome {
    simulator.advance(SignedDuration::from_secs(advance_seconds.into()));
    clock(State(simulator)).await
}

const fn reader() -> OrgRole {
    OrgRole::Reader
}

const fn member() -> ProjectRole {
    ProjectRole::Member
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Newcomer {
    email: String,
    #[serde(default = "reader")]
    role: OrgRole,
    #[serde(default)]
    is_scim_managed: bool,
}

async fn seed_invite(State(simulator): State<Simulator>, Input(invite): Input<Newcomer>) -> Outcome {
    Ok(Json(json!({"invite_id": simulator.seed_invite(&invite.email, invite.role)})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteReply {
    invite: String,
    email: Option<String>,
    name: Option<String>,
}

async fn accept(State(simulator): State<Simulator>, Input(by): Input<InviteReply>) -> Outcome {
    let user_id = simulator.accept_invite_as(&by.invite, by.email.as_deref(), by.name.as_deref())?;
    Ok(Json(json!({"user_id": user_id})))
}

async fn decline(State(simulator): State<Simulator>, Input(by): Input<InviteReply>) -> Outcome {
    simulator.decline_invite(&by.invite)?;
    DONE
}

async fn remove_invite(State(simulator): State<Simulator>, Path(invite): Path<String>) -> Outcome {
    simulator.remove_invite(&invite)?;
    DONE
}

async fn seed_member(State(simulator): State<Simulator>, Input(newcomer): Input<Newcomer>) -> Outcome {
    let user_id = if newcomer.is_scim_managed {
        simulator.seed_scim_managed_member(&newcomer.email)
    } else {
        simulator.seed_member(&newcomer.email, newcomer.role)
    };
    Ok(Json(json!({"user_id": user_id})))
}

async fn remove_member(State(simulator): State<Simulator>, Path(member): Path<String>) -> Outcome {
    simulator.remove_member(&member)?;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: OrgRole,
}

async fn set_role(
    State(simulator): State<Simulator>,
    Path(member): Path<String>,
    Input(NewRole { role }): Input<NewRole>,
) -> Outcome {
    simulator.set_role(&member, role)?;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

async fn seed_service_account(
    State(simulator): State<Simulator>,
    Input(Named { name }): Input<Named>,
) -> Outcome {
    Ok(Json(json!({"service_account_id": simulator.seed_service_account(&name)})))
}

async fn seed_project(State(simulator): State<Simulator>, Input(Named { name }): Input<Named>) -> Outcome {
    Ok(Json(json!({"project_id": simulator.seed_project(&name)})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProjectUser {
    member: String,
    #[serde(default = "member")]
    role: ProjectRole,
}

async fn seed_project_user(
    State(simulator): State<Simulator>,
    Path(project): Path<String>,
    Input(user): Input<NewProjectUser>,
) -> Outcome {
    simulator.seed_project_user(&project, &user.member, user.role)?;
    DONE
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    member: String,
    name: String,
}

async fn seed_project_key(
    State(simulator): State<Simulator>,
    Path(project): Path<String>,
    Input(key): Input<NewKey>,
) -> Outcome {
    Ok(Json(json!({"key_id": simulator.seed_project_key(&project, &key.member, &key.name)?})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    name: String,
    #[serde(default)]
    is_scim_managed: bool,
    #[serde(default)]
    members: Vec<String>,
}

async fn seed_group(State(simulator): State<Simulator>, Input(group): Input<NewGroup>) -> Outcome {
    let id = simulator.seed_group(&group.name, group.is_scim_managed);
    for member in &group.members {
        simulator.seed_group_member(&id, member)?;
    }
    Ok(Json(json!({"group_id": id})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    value: String,
}

async fn revoke_key(State(simulator): State<Simulator>, Input(Key { value }): Input<Key>) -> Outcome {
    simulator.revoke_key(&value)?;
    DONE
}
