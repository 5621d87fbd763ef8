"""Runs scim2-cli with values that OpenAI could accept, on the resource types that clients may write.

scim2-tester fills texts with random characters. Two of them name something in the world that no schema can describe: the
bridge refuses a person without an e-mail address to invite, and OpenAI refuses a project that does not exist. All other
values, and everything else, are the tool's own.

After a change it compares a complex value as a whole with what it sent, and does not allow for what the server adds to it:
the name of a member, and in our extension how far a user is. So it asks, with every request for a resource, that these be
left out (RFC 7644 section 3.9).

Its checks of a resource type begin with a POST, which RFC 7644 section 3.2 lets a type be without: `Role` and `Entitlement`
can only be read. The tool has a parameter for the types to be checked; the discovery documents of all are checked anyway.
"""

import functools
import os
import uuid

import httpx2
from scim2_cli import cli, session, test
from scim2_tester import filling

EXTENSION = "urn:ietf:params:scim:schemas:extension:openai:2.0:User"
READ_ONLY = "status statusReason userId inviteId inviteExpiresAt effectiveRole effectiveProjects lastSynced".split()
LEFT_OUT = ",".join(["members.display", *(f"{EXTENSION}:{name}" for name in READ_ONLY)])

of_schema = filling.get_random_example_value


def example_value(path):
    attribute = path.resolve()
    owner = attribute and attribute.target_model and attribute.target_model.__name__
    match owner, attribute and attribute.target_field_name:
        case _, "user_name":
            return f"{uuid.uuid4()}@example.com"
        case "Projects", "value":
            return os.environ["PROJECT"]
        case "Projects", "role":
            # One role alone: the same project twice, with two roles, would be two values.
            return "member"
    return of_schema(path)


class Client(httpx2.Client):
    def request(self, method, url, **kwargs):
        if str(url).lstrip("/").startswith(("Users", "Groups")):
            kwargs["params"] = {"excludedAttributes": LEFT_OUT} | (kwargs.get("params") or {})
        return super().request(method, url, **kwargs)


filling.get_random_example_value = example_value
session.Client = Client
test.check_server = functools.partial(test.check_server, resource_types=["User", "Group"])
cli()
