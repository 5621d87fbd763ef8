//! One request as the endpoints see it, and what they say to it.

use serde_json::{Map, Value, json};

use super::objects::Actor;
use super::options::{CreatedStatus, ForbiddenBody, Options};

/// A request that was routed, authorised and parsed.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Values of the path template's parameters, decoded.
    pub(super) path: Vec<(&'static str, String)>,
    pub(super) query: Query,
    /// The JSON body; `Null` when it was empty.
    pub(super) body: Value,
    pub(super) actor: Actor,
}

impl Call {
    /// The value of a parameter of the path template.
    pub(super) fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.body.get(name).filter(|value| !value.is_null())
    }

    /// A text field; absent and null are `None`, any other type is a 400.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::invalid_type(name, "a string")),
        }
    }

    /// A text field that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.ok_or_else(|| Refusal::missing(name))
    }

    /// A whole number in a range.
    pub(super) fn number(&self, name: &str, from: i64, to: i64) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.field(name) else { return Ok(None) };
        match value.as_i64() {
            Some(number) if (from..=to).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::invalid_type(name, &format!("an integer from {from} to {to}"))),
        }
    }

    /// A truth value.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.field(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| Refusal::invalid_type(name, "a boolean")),
        }
    }

    /// An array field; absent and null are `None`.
    pub(super) fn list(&self, name: &str) -> Result<Option<&[Value]>, Refusal> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(Refusal::invalid_type(name, "an array")),
        }
    }

    /// An array of strings.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(items) = self.list(name)? else { return Ok(None) };
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts.map(Some).ok_or_else(|| Refusal::invalid_type(name, "an array of strings"))
    }
}

/// Query parameters in the order sent, names and values decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: &str) -> Self {
        Self(url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// The first non-empty value of a parameter.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, value)| found == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// All values of an array parameter, written `name=`, `name[]=` or `name[0]=`.
    pub(super) fn many(&self, name: &str) -> Vec<&str> {
        let is_named = |found: &str| {
            found.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty()
                    || rest
                        .strip_prefix('[')
                        .and_then(|rest| rest.strip_suffix(']'))
                        .is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
            })
        };
        self.0.iter().filter(|(found, _)| is_named(found)).map(|(_, value)| value.as_str()).collect()
    }

    /// A truth value; absent is `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.one(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::invalid_type(name, "true or false")),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.one(name)
            .map(|text| text.parse().ok().ok_or_else(|| Refusal::invalid_type(name, "an integer")))
            .transpose()
    }

    /// The same query with one parameter left out.
    pub(super) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(found, _)| found != name).cloned().collect())
    }
}

/// What an endpoint makes of a call.
pub(super) type Outcome = Result<Answer, Refusal>;

/// A success.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    /// 200 with a body.
    #[expect(clippy::unnecessary_wraps, reason = "it is the last word of an endpoint, which may refuse")]
    pub(super) fn ok(body: Value) -> Outcome {
        Ok(Self { status: 200, body })
    }

    /// A creation for which both 200 and 201 are documented.
    #[expect(clippy::unnecessary_wraps, reason = "it is the last word of an endpoint, which may refuse")]
    pub(super) fn created(options: &Options, body: Value) -> Outcome {
        let status = match options.created_status {
            CreatedStatus::Ok => 200,
            CreatedStatus::Created => 201,
        };
        Ok(Self { status, body })
    }

    /// A deletion that names what was deleted.
    pub(super) fn deleted(object: &str, id: &str) -> Outcome {
        Self::ok(json!({"object": object, "id": id, "deleted": true}))
    }

    /// A deletion that does not name it.
    pub(super) fn removed(object: &str) -> Outcome {
        Self::ok(json!({"object": object, "deleted": true}))
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
    pub(super) param: Option<String>,
    pub(super) code: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None }
    }

    /// A 400.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// A 404 for one object.
    pub(super) fn unknown(what: &str, id: &str) -> Self {
        Self::new(404, format!("The {what} '{id}' was not found."))
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::bad(format!("Missing required parameter: '{name}'."))
            .code("missing_required_parameter")
            .param(name)
    }

    pub(super) fn invalid_type(name: &str, expected: &str) -> Self {
        Self::bad(format!("Invalid value for '{name}': expected {expected}."))
            .code("invalid_value")
            .param(name)
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(super) fn param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    /// The error body; a 403 can be told as a bare string.
    pub(super) fn body(&self, options: &Options) -> Value {
        if self.status == 403 && options.forbidden_body == ForbiddenBody::Text {
            return json!({"error": self.message});
        }
        let kind = if self.status >= 500 { "server_error" } else { "invalid_request_error" };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

/// A JSON object built from optional members: the absent ones are left out.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_parameter_is_read_in_every_spelling() {
        let query = Query::parse("emails[]=a%40x&emails%5B%5D=b%40x&emails=c%40x&emails[0]=d%40x&emails_x=e");
        assert_eq!(query.many("emails"), ["a@x", "b@x", "c@x", "d@x"]);
    }
}
