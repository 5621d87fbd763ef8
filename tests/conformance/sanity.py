"""Runs scim-sanity with what it cannot be told on its command line.

It expects a PATCH to be answered with the resource. RFC 7644 section 3.5.2 leaves that to the server, and clients of groups
expect none, so it says what it prefers (RFC 7240 section 4.2). And it puts somebody into a group whom it never created; here
that is somebody who exists.
"""

import functools
import uuid

from scim_sanity.cli import main
from scim_sanity.http_client import SCIMClient

NOBODY = "fake-member-id"
of_tool = SCIMClient.patch


@functools.wraps(of_tool)
def patch(self, path, payload, extra_headers=None):
    for operation in payload["Operations"]:
        if operation.get("value") == [{"value": NOBODY}]:
            operation["value"] = [{"value": somebody(self)}]
    preference = {"Prefer": "return=representation"}
    return of_tool(self, path, payload, preference | (extra_headers or {}))


def somebody(client):
    schema = "urn:ietf:params:scim:schemas:core:2.0:User"
    user = {"schemas": [schema], "userName": f"{uuid.uuid4()}@example.com"}
    return client.post("/Users", user).json()["id"]


SCIMClient.patch = patch
main()
