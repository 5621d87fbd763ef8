//! Members of the organization.

use serde_json::json;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::{Deleted, User};

impl Client {
    /// One page of all members, service accounts among them; `limit` is 1 to 100.
    pub async fn list_users(&self, after: Option<&str>, limit: u32) -> Result<Answer<Page<User>>, Failure> {
        self.send(Call::new(Endpoint::ListUsers, &[]).with_page(after, limit), |_| true).await
    }

    /// The members with these addresses, as far as OpenAI's filter finds them: it is known to miss people, so that an
    /// empty answer proves nothing. Members with other addresses, from a server that knows no filter, are left out.
    pub async fn list_users_by_email(&self, emails: &[&str]) -> Result<Answer<Page<User>>, Failure> {
        let mut call = Call::new(Endpoint::ListUsers, &[]).with_page(None, 100);
        call.query.extend(emails.iter().map(|email| ("emails[]", (*email).to_owned())));
        let mut answer: Answer<Page<User>> = self.send(call, |_| true).await?;
        let asked = |email: &str| emails.iter().any(|wanted| wanted.eq_ignore_ascii_case(email));
        answer.value.data.retain(|user| user.email.as_deref().is_some_and(asked));
        Ok(answer)
    }

    /// Reads one member.
    pub async fn get_user(&self, user: &str) -> Result<Answer<User>, Failure> {
        self.send(Call::new(Endpoint::GetUser, &[user]), |answer: &User| answer.id == user).await
    }

    /// Replaces a member's classic role by `owner` or `reader`.
    pub async fn set_user_role(&self, user: &str, role: &str) -> Result<Answer<User>, Failure> {
        let ids = [user];
        let call = Call::new(Endpoint::UpdateUser, &ids).with_body(json!({ "role": role }));
        self.send(call, |answer: &User| answer.id == user).await
    }

    /// Removes a member, with all project and group memberships.
    pub async fn delete_user(&self, user: &str) -> Result<Answer<Deleted>, Failure> {
        self.send(Call::new(Endpoint::DeleteUser, &[user]), |answer: &Deleted| answer.is_of(user)).await
    }
}
