//! After a write: the wait for the engine, and taking back a create that OpenAI refuses.

use std::sync::Arc;
use std::time::Duration;

use super::feed::{Method, subject, with_access};
use super::render::Shown;
use super::write::{Written, audit, changes};
use super::{Caller, Directory, DirectoryError, no_such_user};
use crate::ids::PersonId;
use crate::model::event::{Event, EventKind};
use crate::model::operation::Lane;
use crate::model::person::Person;
use crate::provision::handle::Settlement;
use crate::scim::error::ScimError;
use crate::scim::etag::Version;

impl Directory {
    /// Waits for what a create brings about, at most as long as the client likes. If OpenAI refuses this person for
    /// good in that time, the create is undone and the answer is OpenAI's.
    pub(super) async fn settle_create(
        &self,
        caller: &Caller,
        written: Written,
        wait: Option<Duration>,
    ) -> Result<Shown, DirectoryError> {
        let settlement = self.wait_for_engine(caller, &written, wait).await;
        if let Some(Settlement::Refused(words)) = &settlement {
            let refusal = ScimError::invalid_value(format!("OpenAI does not accept this user: {words}"));
            if self.undo_create(caller, &written, words, &refusal).await? {
                self.announce(&caller.tenant);
                return Err(refusal.into());
            }
        }
        self.show_written(caller, &written, settlement).await
    }

    /// Waits likewise for what a change brings about. A refusal is part of the state that the answer shows.
    pub(super) async fn settle_change(
        &self,
        caller: &Caller,
        written: Written,
        wait: Option<Duration>,
    ) -> Result<Shown, DirectoryError> {
        let settlement = self.wait_for_engine(caller, &written, wait).await;
        self.show_written(caller, &written, settlement).await
    }

    /// The user as they are after the wait, which may have changed what was written.
    async fn show_written(
        &self,
        caller: &Caller,
        written: &Written,
        settlement: Option<Settlement>,
    ) -> Result<Shown, DirectoryError> {
        match settlement {
            Some(_) => self.show(caller, written.person.id).await,
            None => Ok(self.render(caller, &written.person, written.mapping.as_ref(), &written.groups)),
        }
    }

    /// `None` when there was nothing to wait for, or nobody who would.
    async fn wait_for_engine(
        &self,
        caller: &Caller,
        written: &Written,
        wait: Option<Duration>,
    ) -> Option<Settlement> {
        if !written.changed {
            return None;
        }
        let limit = wait.map_or(self.answer_wait, |wait| wait.min(self.answer_wait));
        if !written.concerns_upstream || limit.is_zero() {
            self.engine.nudge(&caller.tenant, written.person.id);
            return None;
        }
        let settled = self.engine.settle(&caller.tenant, written.person.id);
        Some(tokio::time::timeout(limit, settled).await.unwrap_or(Settlement::Queued))
    }

    /// The user as they are now.
    pub(super) async fn show(&self, caller: &Caller, id: PersonId) -> Result<Shown, DirectoryError> {
        let mut reader = self.store.reader().await?;
        let found = reader.load_person_and_mapping(&caller.tenant, id).await?;
        let (person, mapping) = found.ok_or_else(no_such_user)?;
        let groups = reader.groups_of(&caller.tenant, id).await?;
        Ok(self.render(caller, &person, mapping.as_ref(), &groups))
    }

    /// Makes it as if the create had not been: a new person is erased, a restored one is what they were before.
    /// Tells `false` when somebody has changed the person since, who then stays.
    async fn undo_create(
        &self,
        caller: &Caller,
        written: &Written,
        words: &str,
        refusal: &ScimError,
    ) -> Result<bool, DirectoryError> {
        let now = self.clock.now();
        let publisher = self.publisher(caller, now);
        let words = (words.to_owned(), refusal.clone());
        let undo = Arc::new((caller.clone(), written.clone(), words, now, publisher));
        self.store
            .write(move |tx| {
                let undo = Arc::clone(&undo);
                Box::pin(async move {
                    let (caller, Written { person, before, .. }, (words, refusal), now, publisher) = &*undo;
                    let path = subject(&person.id);
                    let current = tx.load_person(&caller.tenant, person.id).await?;
                    if current.is_none_or(|current| current.version != person.version) {
                        return Ok::<_, DirectoryError>(false);
                    }
                    if !publisher.refuse(tx, Method::Post, path.clone(), refusal).await? {
                        // The client was told that the create went well.
                        return Ok(false);
                    }
                    if let Some(before) = before {
                        let version = person.version.saturating_add(1);
                        let restored = Person { version, modified_at: *now, ..before.clone() };
                        tx.update_person(&restored, person.version, Lane::Revoke).await?;
                        let changes = changes(person, &restored);
                        let version = Version(version).to_string();
                        let told = |event: Event| {
                            let event = event.with_notice(EventKind::Put, changes.paths(), &version);
                            with_access(event, person.active, restored.active)
                        };
                        publisher.publish(tx, path, told).await?;
                    } else {
                        tx.erase_person(&caller.tenant, person.id, person.version).await?;
                        publisher.publish(tx, path, |event| event.with(EventKind::Delete)).await?;
                    }
                    let detail = serde_json::json!({ "refusal": words });
                    tx.append_audit(&audit(caller, *now, person.id, "user.create_undone", detail)).await?;
                    Ok(true)
                })
            })
            .await
    }
}
