//! The played session: what the identity providers, the invited people and OpenAI do, scene by scene.
//!
//! Every scene checks that things went as told; if not, the demo fails and says what was different.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Door};
use super::payloads;
use super::show::Stage;
use crate::ids::{OperationId, PersonId, TenantId};
use crate::store::{MappingFilter, Store};

/// The longest a scene waits for the bridge to see or do something.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the bridge is asked whether it is done.
const POLL: Duration = Duration::from_millis(150);
/// The extension under which the bridge shows how far a person is.
const EXTENSION: &str = "urn:ietf:params:scim:schemas:extension:openai:2.0:User";

/// Everybody who takes part.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) stage: Stage,
    /// The bridge's public door, as identity providers see it.
    pub(super) bridge: Door,
    /// The stand-in's control calls: what people do at OpenAI.
    pub(super) control: Door,
    /// The bridge's record of what it planned.
    pub(super) store: Store,
    /// Operations that were shown already.
    pub(super) shown: BTreeSet<OperationId>,
}

/// What the audience may go on with.
#[derive(Debug)]
pub(super) struct Epilogue {
    /// The SCIM id of the person who is a member at the end.
    pub(super) member: PersonId,
}

impl Play {
    /// Plays all scenes.
    pub(super) async fn run(&mut self) -> anyhow::Result<Epilogue> {
        self.stage.scene("Okta tests the connection")?;
        self.request(Method::GET, "/Users?startIndex=1&count=2", None, 200).await?;

        self.stage.scene("Okta assigns a person to the app")?;
        let filter =
            format!("/Users?filter=userName eq \"{}\"&startIndex=1&count=100", payloads::OKTA_USER_NAME);
        self.request(Method::GET, &filter, None, 200).await?;
        let okta = self.request(Method::POST, "/Users", Some(&payloads::okta_create()), 201).await?;
        let okta = id_of(&okta)?;
        self.until(okta, "invited", "waiting for the invite").await?;
        self.operations(okta).await?;
        self.openai().await?;

        self.stage.scene("Entra ID assigns a person, and then corrects the address")?;
        let filter = format!("/Users?filter=externalId eq \"{}\"", payloads::ENTRA_EXTERNAL_ID);
        self.request(Method::GET, &filter, None, 200).await?;
        let entra = self.request(Method::POST, "/Users", Some(&payloads::entra_create()), 201).await?;
        let entra = id_of(&entra)?;
        self.until(entra, "invited", "waiting for the invite").await?;
        self.operations(entra).await?;
        self.openai().await?;
        let path = format!("/Users/{entra}");
        self.request(Method::PATCH, &path, Some(&payloads::entra_update()), 200).await?;
        self.until(entra, "invited", "waiting for the new invite").await?;
        self.operations(entra).await?;
        self.openai().await?;

        self.stage.scene("Both accept their invites at OpenAI")?;
        for address in [payloads::OKTA_USER_NAME, payloads::ENTRA_ADDRESS] {
            let accept = json!({ "invite": address });
            let answer = self.control.call(Method::POST, "/control/invites/accept", Some(&accept)).await?;
            ensure!(answer.status == 200, "{address} could not accept the invite: {}", answer.body);
            self.stage.label("OpenAI", format!("{address} accepts the invite"))?;
        }
        for id in [okta, entra] {
            self.until(id, "member", "waiting for the bridge to notice").await?;
            let user = self.bridge.get(&format!("/Users/{id}")).await?;
            self.stage.label("SCIM", format!("GET /Users/{id}"))?;
            self.stage.label("", format!("-> {}", summary(&user)))?;
        }
        self.openai().await?;

        self.stage.scene("Okta takes the person off the app")?;
        let path = format!("/Users/{okta}");
        self.request(Method::PATCH, &path, Some(&payloads::okta_deactivate()), 200).await?;
        self.until(okta, "parked", "waiting for the removal").await?;
        self.operations(okta).await?;
        self.openai().await?;

        self.stage.scene("Who is who, in the mapping table")?;
        self.mappings().await?;
        Ok(Epilogue { member: entra })
    }

    /// Sends a SCIM request, shows it and its answer, and checks the status.
    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        expected: u16,
    ) -> anyhow::Result<Answer> {
        self.stage.label("SCIM", format!("{method} {path}"))?;
        if let Some(body) = body {
            self.stage.aside(&without_password(body).to_string())?;
        }
        let call = self.bridge.call(method.clone(), path, body);
        let answer = self.stage.wait("", "the bridge answers", call).await??;
        self.stage.label("", format!("-> {}", summary(&answer)))?;
        let status = answer.status;
        ensure!(
            status == expected,
            "{method} {path} was to answer {expected}, and answered {status}: {}",
            answer.body
        );
        Ok(answer)
    }

    /// Waits until SCIM shows the person in a status.
    async fn until(&self, id: PersonId, wanted: &str, what: &str) -> anyhow::Result<()> {
        let path = format!("/Users/{id}");
        let reached = async {
            loop {
                let user = self.bridge.get(&path).await?;
                if status_of(&user.body) == Some(wanted) {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let reached = self.stage.wait("", what, tokio::time::timeout(PATIENCE, reached)).await?;
        match reached {
            Ok(reached) => reached,
            Err(_elapsed) => {
                let user = self.bridge.get(&path).await?;
                bail!(
                    "the person was to become `{wanted}` within {} s, but is: {}",
                    PATIENCE.as_secs(),
                    user.body
                )
            }
        }
    }

    /// Shows what was planned for a person and done since the last look.
    async fn operations(&mut self, person: PersonId) -> anyhow::Result<()> {
        let tenant = TenantId::default_tenant();
        let mut operations = self.store.reader().await?.list_operations(&tenant, person, 20).await?;
        operations.retain(|operation| self.shown.insert(operation.id));
        ensure!(!operations.is_empty(), "the bridge was to plan something for {person}");
        for operation in operations.iter().rev() {
            let (kind, state) = (operation.action.kind(), operation.state.as_str());
            self.stage.label("planned", format!("{kind}, {state}: {}", operation.reason))?;
        }
        Ok(())
    }

    /// Shows what the organization holds, one invite or member a line.
    async fn openai(&self) -> anyhow::Result<()> {
        let state = self.control.get("/control/state").await?.body;
        let mut label = "OpenAI";
        for (what, key, detail) in [("invite", "invites", "status"), ("member", "users", "role")] {
            let items = state.get(key).and_then(Value::as_array).into_iter().flatten();
            for item in items {
                let (email, detail) = (text(item, "email"), text(item, detail).unwrap_or_default());
                if let Some(email) = email.filter(|_| detail != "accepted") {
                    self.stage.label(label, format!("{what}  {email}, {detail}"))?;
                    label = "";
                }
            }
        }
        Ok(())
    }

    /// Shows the mapping table, one id a line.
    async fn mappings(&self) -> anyhow::Result<()> {
        let (tenant, everybody) = (TenantId::default_tenant(), MappingFilter::default());
        let rows = self.store.reader().await?.list_mappings(&tenant, &everybody, None, 10).await?;
        ensure!(rows.len() == 2, "the table was to hold two people, but holds {}", rows.len());
        for row in rows {
            let (person, mapping) = (row.person, row.mapping);
            let openai = match (&mapping.user_id, &mapping.former_user_id) {
                (Some(user), _) => user.to_string(),
                (None, Some(former)) => format!("none, was {former}"),
                (None, None) => "none".to_owned(),
            };
            self.stage.label(mapping.status.as_str(), &person.user_name)?;
            self.stage.label("", format!("SCIM id      {}", person.id))?;
            self.stage.label("", format!("externalId   {}", person.external_id.unwrap_or_default()))?;
            self.stage.label("", format!("OpenAI user  {openai}"))?;
        }
        Ok(())
    }
}

/// An answer in one line.
fn summary(answer: &Answer) -> String {
    let Answer { status, body } = answer;
    if let Some(total) = body.get("totalResults") {
        return format!("{status}, {total} found");
    }
    if let Some(detail) = text(body, "detail") {
        return format!("{status}: {detail}");
    }
    let id = text(body, "id").unwrap_or("-");
    format!("{status} {}, id {id}", status_of(body).unwrap_or("-"))
}

fn status_of(user: &Value) -> Option<&str> {
    text(user.get(EXTENSION)?, "status")
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn id_of(answer: &Answer) -> anyhow::Result<PersonId> {
    let id = text(&answer.body, "id").context("the answer has no id")?;
    id.parse().with_context(|| format!("the answer's id is `{id}`"))
}

/// The body as shown: even a placeholder password is not printed.
fn without_password(body: &Value) -> Value {
    let mut shown = body.clone();
    if let Some(password) = shown.get_mut("password") {
        *password = "********".into();
    }
    shown
}
