"""Drives the stand-in for the OpenAI admin API with the official Python client.

Needs a running stand-in at SIMULATOR_URL (without `/v1`), which is reset before every test. Every answer is checked
against OpenAI's API description when the environment variable OPENAI_ADMIN_OPENAPI names it, or when it lies beside
the repository; without it only the client's own view is checked.
"""

import json
import os
import pathlib
import sys
import unittest
import urllib.request

import openai
import yaml
from jsonschema import Draft202012Validator

URL = os.environ["SIMULATOR_URL"]
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BESIDE = REPOSITORY.parent / "shared" / "openai-admin.openapi.yaml"
# These may come from any endpoint; the description does not repeat them everywhere.
EVERYWHERE = {401, 405, 429}

answers = {}


def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + "/control" + path, data=data, method=method)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def record(response):
    response.read()
    answers[response.headers["x-request-id"]] = (response.status_code, response.content)


def client(key="sk-admin-simulator"):
    hooks = {"response": [record]}
    http = openai.DefaultHttpxClient(event_hooks=hooks, trust_env=False)
    return openai.OpenAI(admin_api_key=key, base_url=URL + "/v1", max_retries=0, http_client=http)


class Checks:
    """Compares answers with the description, and counts the operations seen."""

    def __init__(self):
        self.called = set()
        self.failures = []
        self.checked = 0
        path = pathlib.Path(os.environ.get("OPENAI_ADMIN_OPENAPI", BESIDE))
        self.description = yaml.safe_load(path.read_text()) if path.is_file() else None

    def collect(self):
        """Takes the stand-in's ledger in, before it is reset."""
        for entry in control("GET", "/ledger")["entries"]:
            status, content = answers.pop(entry["request_id"], (None, None))
            if status is None or entry["template"] is None or entry["fault"] is not None:
                continue
            if status < 300:
                self.called.add((entry["method"], entry["template"]))
            if self.description is not None:
                self.check(entry["method"], entry["template"], status, content)

    def check(self, method, template, status, content):
        name = f"{method} {template} {status}"
        operation = self.description["paths"].get(template, {}).get(method.lower())
        if operation is None:
            if status != 405:
                self.failures.append(f"{name}: not an operation of the description")
            return
        if status in EVERYWHERE:
            return
        response = operation["responses"].get(str(status))
        if response is None:
            self.failures.append(f"{name}: status not documented")
            return
        schema = self.resolve(response)["content"]["application/json"]["schema"]
        schema = {**schema, "components": self.description["components"]}
        for error in Draft202012Validator(schema).iter_errors(json.loads(content)):
            self.failures.append(f"{name}: {error.json_path}: {error.message}")
        self.checked += 1

    def resolve(self, node):
        while "$ref" in node:
            target = self.description
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node


checks = Checks()


def setUpModule():
    if checks.description is None:
        bar = "!" * 100
        print(f"{bar}\nOPENAI_ADMIN_OPENAPI names no file: answers are NOT validated against OpenAI's API description"
              f"\n{bar}", file=sys.stderr)


def tearDownModule():
    offered = {tuple(operation) for operation in control("GET", "/operations")["operations"]}
    missing = sorted(offered - checks.called)
    if missing:
        raise AssertionError(f"operations never called with success: {missing}")
    if checks.failures:
        raise AssertionError("answers that break the description:\n" + "\n".join(sorted(set(checks.failures))))
    if checks.description is not None:
        described = {
            (method.upper(), path)
            for path, operations in checks.description["paths"].items()
            for method in operations
            if method in ("get", "post", "delete", "put", "patch")
        }
        if described != offered:
            raise AssertionError(f"offered and described differ: {sorted(described ^ offered)}")
    print(f"{len(offered)} operations called, {checks.checked} answers validated", file=sys.stderr)


class Admin(unittest.TestCase):
    def setUp(self):
        control("POST", "/reset")
        self.client = client()
        self.organization = self.client.admin.organization

    def tearDown(self):
        checks.collect()
        self.client.close()

    def member(self, email="ada@example.com"):
        return control("POST", "/members", {"email": email})["user_id"]

    def project(self, name="Research"):
        return control("POST", "/projects", {"name": name})["project_id"]

    def assertWalks(self, pages, expected):
        """Walks a list to its end, over more than one page, and compares the ids."""
        first = [item.id for item in pages.data]
        self.assertLess(len(first), len(expected))
        self.assertEqual([item.id for item in pages], expected)


class Invites(Admin):
    def test_life_of_an_invite(self):
        project = self.project()
        projects = [{"id": project, "role": "member"}]
        invite = self.organization.invites.create(email="Ada@example.com", role="reader", projects=projects)
        self.assertEqual((invite.status, invite.projects[0].id), ("pending", project))
        control("POST", "/invites/accept", {"invite": "ada@example.com"})
        self.assertEqual(self.organization.invites.retrieve(invite.id).status, "accepted")
        with self.assertRaises(openai.BadRequestError):
            self.organization.invites.delete(invite.id)
        other = self.organization.invites.create(email="b@example.com", role="owner", projects=[])
        self.assertTrue(self.organization.invites.delete(other.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.organization.invites.delete(other.id)

    def test_expired_invites_can_be_replaced(self):
        invite = self.organization.invites.create(email="a@example.com", role="reader")
        control("POST", "/clock", {"advance_seconds": 8 * 24 * 3600})
        self.assertEqual(self.organization.invites.retrieve(invite.id).status, "expired")
        again = self.organization.invites.create(email="a@example.com", role="reader")
        self.assertNotEqual(again.id, invite.id)

    def test_refusals(self):
        for email in ("owner@example.com", "nobody"):
            with self.assertRaises(openai.BadRequestError):
                self.organization.invites.create(email=email, role="reader")

    def test_created_status_201(self):
        control("PATCH", "/options", {"created_status": "created"})
        self.organization.invites.create(email="a@example.com", role="reader")
        self.organization.projects.create(name="Research")

    def test_paging(self):
        control("PUT", "/limiter", {"enabled": False})
        made = [self.organization.invites.create(email=f"p{n}@example.com", role="reader").id for n in range(25)]
        self.assertWalks(self.organization.invites.list(), made)
        self.assertWalks(self.organization.invites.list(limit=7), made)


class Users(Admin):
    def test_read_change_and_delete(self):
        user = self.member()
        updated = self.organization.users.update(user, role="owner", developer_persona="maker")
        self.assertEqual((updated.role, updated.developer_persona), ("owner", "maker"))
        self.assertEqual(self.organization.users.retrieve(user).email, "ada@example.com")
        self.assertTrue(self.organization.users.delete(user).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.organization.users.retrieve(user)
        with self.assertRaises(openai.BadRequestError):
            self.organization.users.update(self.member(), role="member")

    def test_emails_filter(self):
        user = self.member("Ada@example.com")
        self.member("b@example.com")
        found = self.organization.users.list(emails=["ada@example.com", "nobody@example.com"])
        self.assertEqual([it.id for it in found], [user])

    def test_paging(self):
        for number in range(30):
            self.member(f"m{number}@example.com")
        everybody = [user["id"] for user in control("GET", "/state")["users"]]
        self.assertWalks(self.organization.users.list(), everybody)
        self.assertWalks(self.organization.users.list(limit=10), everybody)

    def test_roles(self):
        user = self.member()
        role = self.organization.roles.create(role_name="Auditor", permissions=["api.audit.read"])
        assigned = self.organization.users.roles.create(user, role_id=role.id)
        self.assertEqual((assigned.user.id, assigned.role.id), (user, role.id))
        shown = self.organization.users.roles.retrieve(role.id, user_id=user)
        self.assertEqual(shown.assignment_sources[0].principal_id, user)
        both = [it.id for it in self.organization.users.roles.list(user).data]
        self.assertWalks(self.organization.users.roles.list(user, limit=1), both)
        self.assertTrue(self.organization.users.roles.delete(role.id, user_id=user).deleted)


class Projects(Admin):
    def test_life_of_a_project(self):
        project = self.organization.projects.create(name="Research")
        self.assertEqual(self.organization.projects.update(project.id, name="Labs").name, "Labs")
        self.assertEqual(self.organization.projects.archive(project.id).status, "archived")
        self.assertEqual(self.organization.projects.retrieve(project.id).status, "archived")
        self.assertNotIn(project.id, [it.id for it in self.organization.projects.list()])
        self.assertIn(project.id, [it.id for it in self.organization.projects.list(include_archived=True)])
        with self.assertRaises(openai.BadRequestError):
            self.organization.projects.users.list(project.id)
        with self.assertRaises(openai.NotFoundError) as caught:
            self.organization.projects.retrieve("proj_none")
        self.assertEqual(caught.exception.code, "project_not_found")

    def test_paging(self):
        for number in range(21):
            self.project(f"p{number}")
        expected = [project["id"] for project in control("GET", "/state")["projects"]]
        self.assertWalks(self.organization.projects.list(), expected)

    def test_users(self):
        project, user = self.project(), self.member()
        users = self.organization.projects.users
        self.assertEqual(users.create(project, user_id=user, role="member").role, "member")
        with self.assertRaises(openai.ConflictError):
            users.create(project, email="ADA@example.com", role="member")
        self.assertEqual(users.update(user, project_id=project, role="owner").role, "owner")
        self.assertEqual(users.retrieve(user, project_id=project).email, "ada@example.com")
        everybody = [it.id for it in users.list(project).data]
        self.assertEqual(len(everybody), 3)
        self.assertWalks(users.list(project, limit=1), everybody)
        with self.assertRaises(openai.BadRequestError) as caught:
            users.delete(everybody[0], project_id=project)
        self.assertEqual(caught.exception.code, "user_organization_owner")
        self.assertTrue(users.delete(user, project_id=project).deleted)

    def test_user_roles(self):
        project, user = self.project(), self.member()
        self.organization.projects.users.create(project, user_id=user, role="member")
        role = self.client.admin.organization.projects.roles.create(project, role_name="T", permissions=["x"])
        roles = self.organization.projects.users.roles
        self.assertEqual(roles.create(user, project_id=project, role_id=role.id).role.name, "T")
        both = [it.id for it in roles.list(user, project_id=project).data]
        self.assertWalks(roles.list(user, project_id=project, limit=1), both)
        self.assertEqual(roles.retrieve(role.id, project_id=project, user_id=user).name, "T")
        self.assertTrue(roles.delete(role.id, project_id=project, user_id=user).deleted)

    def test_service_accounts_and_keys(self):
        project, user = self.project(), self.member()
        accounts, keys = self.organization.projects.service_accounts, self.organization.projects.api_keys
        made = [accounts.create(project, name=f"robot {n}") for n in range(3)]
        self.assertTrue(made[0].api_key.value)
        self.assertWalks(accounts.list(project, limit=2), [it.id for it in made])
        self.assertEqual(accounts.update(made[0].id, project_id=project, name="droid").name, "droid")
        self.assertEqual(accounts.retrieve(made[0].id, project_id=project).name, "droid")
        control("POST", f"/projects/{project}/users", {"member": user})
        key = control("POST", f"/projects/{project}/keys", {"member": user, "name": "laptop"})["key_id"]
        self.assertEqual(keys.retrieve(key, project_id=project).owner.user.id, user)
        everything = [it.id for it in keys.list(project).data]
        self.assertWalks(keys.list(project, limit=2, owner_project_access="any"), everything)
        with self.assertRaises(openai.BadRequestError):
            keys.delete(everything[0], project_id=project)
        self.organization.users.delete(user)
        inactive = keys.list(project, owner_project_access="inactive")
        self.assertEqual([it.id for it in inactive], [key])
        keys.delete(key, project_id=project)
        self.assertTrue(accounts.delete(made[0].id, project_id=project).deleted)


class Groups(Admin):
    def test_life_of_a_group(self):
        group = self.organization.groups.create(name="Engineers")
        self.assertEqual(self.organization.groups.update(group.id, name="Makers").name, "Makers")
        self.assertEqual(self.organization.groups.retrieve(group.id).name, "Makers")
        self.assertTrue(self.organization.groups.delete(group.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.organization.groups.delete(group.id)
        control("PATCH", "/options", {"max_groups": 0})
        with self.assertRaises(openai.UnprocessableEntityError):
            self.organization.groups.create(name="One more")

    def test_paging(self):
        made = [control("POST", "/groups", {"name": f"g{n}"})["group_id"] for n in range(105)]
        self.assertWalks(self.organization.groups.list(), made)
        self.assertWalks(self.organization.groups.list(limit=40, order="desc"), made[::-1])

    def test_users(self):
        group = self.organization.groups.create(name="Engineers").id
        users = self.organization.groups.users
        made = [self.member(f"m{n}@example.com") for n in range(5)]
        for user in made:
            self.assertEqual(users.create(group, user_id=user).user_id, user)
        with self.assertRaises(openai.ConflictError):
            users.create(group, user_id=made[0])
        self.assertWalks(users.list(group, limit=2), made[::-1])
        self.assertEqual(users.retrieve(made[0], group_id=group).email, "m0@example.com")
        self.assertTrue(users.delete(made[0], group_id=group).deleted)

    def test_roles(self):
        group = self.organization.groups.create(name="Engineers").id
        made = [self.organization.roles.create(role_name=f"r{n}", permissions=[]).id for n in range(3)]
        roles = self.organization.groups.roles
        for role in made:
            self.assertEqual(roles.create(group, role_id=role).group.id, group)
        self.assertWalks(roles.list(group, limit=2), [it.id for it in roles.list(group).data])
        self.assertEqual(roles.retrieve(made[0], group_id=group).id, made[0])
        self.assertTrue(roles.delete(made[0], group_id=group).deleted)

    def test_projects(self):
        project = self.project()
        member = next(it.id for it in self.organization.projects.roles.list(project) if it.name == "member")
        groups = self.organization.projects.groups
        made = [control("POST", "/groups", {"name": f"g{n}"})["group_id"] for n in range(3)]
        for group in made:
            self.assertEqual(groups.create(project, group_id=group, role=member).group_id, group)
        walked = [it.group_id for it in groups.list(project, limit=2)]
        self.assertEqual(walked, made)
        self.assertEqual(groups.retrieve(made[0], project_id=project).group_name, "g0")
        roles = self.organization.projects.groups.roles
        role = self.organization.projects.roles.create(project, role_name="T", permissions=[]).id
        roles.create(made[0], project_id=project, role_id=role)
        both = [it.id for it in roles.list(made[0], project_id=project).data]
        self.assertWalks(roles.list(made[0], project_id=project, limit=1), both)
        self.assertEqual(roles.retrieve(role, project_id=project, group_id=made[0]).name, "T")
        self.assertTrue(roles.delete(role, project_id=project, group_id=made[0]).deleted)
        self.assertTrue(groups.delete(made[0], project_id=project).deleted)

    def test_without_the_feature(self):
        control("PATCH", "/options", {"groups": "off"})
        with self.assertRaises(openai.NotFoundError):
            self.organization.groups.list()


class Roles(Admin):
    def life(self, roles, *where):
        scope = {"project_id": where[0]} if where else {}
        role = roles.create(*where, role_name="Auditor", permissions=["a"], description="reads")
        updated = roles.update(role.id, permissions=["b"], **scope)
        self.assertEqual((updated.name, updated.permissions), ("Auditor", ["b"]))
        self.assertEqual(roles.retrieve(role.id, **scope).description, "reads")
        everything = [it.id for it in roles.list(*where).data]
        self.assertWalks(roles.list(*where, limit=1), everything)
        self.assertTrue(roles.delete(role.id, **scope).deleted)
        with self.assertRaises(openai.BadRequestError):
            roles.delete(everything[0], **scope)

    def test_organization_roles(self):
        self.life(self.organization.roles)

    def test_project_roles(self):
        self.life(self.organization.projects.roles, self.project())


class AuditLogs(Admin):
    def test_every_change_is_told(self):
        control("PUT", "/limiter", {"enabled": False})
        for number in range(25):
            self.organization.invites.create(email=f"p{number}@example.com", role="reader")
        control("POST", "/invites/accept", {"invite": "p0@example.com"})
        group = self.organization.groups.create(name="g").id
        self.organization.groups.delete(group)
        role = self.organization.roles.create(role_name="r", permissions=[])
        self.organization.roles.update(role.id, role_name="s")
        self.organization.users.roles.create(self.member(), role_id=role.id)
        logs = self.organization.audit_logs
        everything = [it.id for it in logs.list(limit=100).data]
        self.assertWalks(logs.list(), everything)
        sent = logs.list(event_types=["invite.sent"], limit=1, actor_emails=["owner@example.com"])
        self.assertEqual(sent.data[0].invite_sent.data.email, "p24@example.com")
        self.assertEqual(len([it for it in logs.list(resource_ids=[group])]), 2)
        at = sent.data[0].effective_at
        self.assertEqual(logs.list(effective_at={"gt": at + 3600}).data, [])
        self.assertTrue(logs.list(effective_at={"gte": at, "lte": at + 3600}).data)
        before = logs.list(before=everything[3], limit=2)
        self.assertEqual([it.id for it in before.data], everything[1:3])
        with self.assertRaises(openai.NotFoundError):
            logs.list(after="audit_log-none")


class Keys(Admin):
    def test_admin_keys(self):
        keys = self.organization.admin_api_keys
        made = keys.create(name="second", expires_in_seconds=60)
        self.assertTrue(made.value.startswith("sk-admin-"))
        other = client(made.value)
        self.assertTrue(other.admin.organization.users.list().data)
        self.assertEqual(keys.retrieve(made.id).name, "second")
        both = [it.id for it in keys.list().data]
        self.assertWalks(keys.list(limit=1), both)
        self.assertEqual([it.id for it in keys.list(order="desc")], both[::-1])
        self.assertTrue(keys.delete(made.id).deleted)
        with self.assertRaises(openai.AuthenticationError):
            other.admin.organization.users.list()
        other.close()

    def test_wrong_keys(self):
        for body in ("text", "object"):
            control("PATCH", "/options", {"forbidden_body": body})
            other = client("sk-proj-other")
            with self.assertRaises(openai.PermissionDeniedError):
                other.admin.organization.users.list()
            other.close()


class Trouble(Admin):
    def test_rate_limits_in_every_dialect(self):
        for _ in range(7):
            self.organization.users.list()
        for dialect, header in (("plain_text", None), ("delay_in_text", None), ("retry_after", "60")):
            limiter = {"enabled": True, "requests": 0, "window_seconds": 60, "dialect": dialect}
            control("PUT", "/limiter", limiter)
            with self.assertRaises(openai.RateLimitError) as caught:
                self.organization.users.list()
            if header is None:
                self.assertNotIn("retry-after", caught.exception.response.headers)
            else:
                self.assertIn(caught.exception.response.headers["retry-after"], ("59", "60"))

    def test_faults(self):
        faults = [
            ({"kind": "status", "status": 500}, openai.InternalServerError),
            ({"kind": "html", "status": 502}, openai.InternalServerError),
            ({"kind": "reset"}, openai.APIConnectionError),
        ]
        for fault, error in faults:
            control("POST", "/faults", {"times": 1, "fault": fault})
            with self.assertRaises(error):
                self.organization.users.list()
        self.assertTrue(self.organization.users.list().data)


if __name__ == "__main__":
    unittest.main()
