"""The routes of projects and keys: a key is shown once, holds at once, and reaches its own project only."""

from __future__ import annotations

import pytest


def test_projects_are_made_and_listed(ask, root, make_key, project):
    made = ask(root, "POST", "/api/v1/projects", json={"name": "beta", "description": "of the second team"})
    assert (made.status_code, made.json()["valid_keys"]) == (200, 0)
    make_key("alpha", "read")
    found = ask(root, "GET", "/api/v1/projects").json()["projects"]
    assert [(each["name"], each["valid_keys"]) for each in found] == [("alpha", 1), ("beta", 0), (project, 0)]
    assert found[1] == made.json() == ask(root, "GET", "/api/v1/projects/beta").json()
    assert found[2]["created_at"] is None  # that of the settings was never made


def test_a_project_is_made_once(ask, root):
    for status in (200, 409):
        answer = ask(root, "POST", "/api/v1/projects", json={"name": "beta"})
        assert answer.status_code == status
    assert answer.json()["detail"] == "there is a project beta already"


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 101, "a b"])
def test_a_project_of_another_name_is_not_made(ask, root, name):
    answer = ask(root, "POST", "/api/v1/projects", json={"name": name})
    assert answer.status_code == 400
    assert "name: not the name of a project; allowed: 1 to 100" in answer.json()["detail"]


def test_a_key_sees_its_own_project_only(ask, root, make_key):
    key = make_key("alpha", "admin")["key"]
    make_key("beta", "admin")
    found = ask(key, "GET", "/api/v1/projects").json()["projects"]
    assert [each["name"] for each in found] == ["alpha"]
    assert ask(key, "GET", "/api/v1/projects/alpha").status_code == 200
    for other in ("beta", "gamma"):
        answer = ask(key, "GET", f"/api/v1/projects/{other}")
        assert (answer.status_code, answer.json()["detail"]) == (404, f"there is no project {other}")
    assert ask(root, "GET", "/api/v1/projects/beta").status_code == 200
    assert ask(root, "GET", "/api/v1/projects/a b").status_code == 400


def test_a_key_is_shown_by_the_answer_that_made_it_and_by_no_other(ask, root, make_key):
    made = make_key("alpha", "read", "ingest")
    key, secret = made.pop("key"), made["id"]
    assert made["scopes"] == ["ingest", "read"]
    listed = ask(root, "GET", "/api/v1/keys?project=alpha")
    assert listed.json() == {"keys": [made]}
    revoked = ask(root, "DELETE", f"/api/v1/keys/{made['id']}")
    for answer in (listed, revoked, ask(root, "GET", "/api/v1/projects"), ask(key, "GET", "/api/v1/traces")):
        assert key not in answer.text
        assert key.removeprefix(f"sl_{secret}_") not in answer.text
        assert "hash" not in answer.text


def test_a_key_holds_at_once_and_until_it_is_revoked(ask, root, make_key):
    made = make_key("alpha", "read")
    assert ask(made["key"], "GET", "/api/v1/traces").status_code == 200
    revoked = ask(root, "DELETE", f"/api/v1/keys/{made['id']}").json()
    assert (revoked["valid"], bool(revoked["revoked_at"])) == (False, True)
    answer = ask(made["key"], "GET", "/api/v1/traces")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert ask(root, "DELETE", f"/api/v1/keys/{made['id']}").json() == revoked
    assert ask(root, "GET", "/api/v1/projects/alpha").json()["valid_keys"] == 0


def test_an_admin_of_a_project_makes_and_revokes_its_keys(ask, make_key):
    admin = make_key("alpha", "admin")["key"]
    made = ask(admin, "POST", "/api/v1/keys", json={"name": "ci", "scopes": ["ingest"]}).json()
    assert made["project"] == "alpha"
    assert [each["name"] for each in ask(admin, "GET", "/api/v1/keys").json()["keys"]] == ["ci", "of alpha"]
    assert ask(admin, "DELETE", f"/api/v1/keys/{made['id']}").json()["valid"] is False


def test_keys_of_another_project_are_neither_listed_nor_revoked_nor_made(ask, root, make_key):
    admin = make_key("alpha", "admin")["key"]
    other = make_key("beta", "read")
    ids = [each["id"] for each in ask(admin, "GET", "/api/v1/keys").json()["keys"]]
    assert other["id"] not in ids
    known, unknown = (ask(admin, "DELETE", f"/api/v1/keys/{key_id}") for key_id in (other["id"], "0" * 12))
    assert known.status_code == unknown.status_code == 404
    assert known.json()["detail"].replace(other["id"], "0" * 12) == unknown.json()["detail"]
    assert ask(other["key"], "GET", "/api/v1/traces").status_code == 200
    made = ask(admin, "POST", "/api/v1/keys?project=beta", json={"name": "ci", "scopes": ["read"]})
    assert made.status_code == 404
    assert len(ask(root, "GET", "/api/v1/keys?project=beta").json()["keys"]) == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"scopes": ["read"]}, "body.name"),
        ({"name": "", "scopes": ["read"]}, "name: a text of 1 to 200"),
        ({"name": "n", "scopes": []}, "a list of ingest, read, write, admin"),
        ({"name": "n", "scopes": ["root"]}, "'ingest', 'read', 'write' or 'admin'"),
        ({"name": "n", "scopes": ["read"], "expires_at": "soon"}, "expires_at: not a time"),
        ({"name": "n", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "a time to come"),
        ({"name": "n", "scopes": ["read"], "project": "beta"}, "allowed: name, scopes, expires_at"),
    ],
)
def test_what_is_wrong_with_a_new_key_is_named(ask, root, asked, words):
    answer = ask(root, "POST", "/api/v1/keys", json=asked)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_a_key_for_a_project_that_nobody_made_is_404(ask, root):
    answer = ask(root, "POST", "/api/v1/keys?project=tpyo", json={"name": "n", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no project tpyo")


def test_a_key_that_expires_says_so(ask, make_key):
    made = make_key("alpha", "read", expires_at="2100-01-02T03:04:05.5Z")
    assert (made["expires_at"], made["valid"]) == ("2100-01-02T03:04:05.500000000Z", True)
    assert ask(made["key"], "GET", "/api/v1/traces").status_code == 200


def test_the_first_key_closes_an_open_ledger(make_api, own_target, project):
    api = make_api(to=own_target)
    assert api.get("/api/v1/traces").status_code == 200
    refused = api.post("/api/v1/keys", json={"name": "n", "scopes": ["read"]})
    assert refused.status_code == 400
    assert "the first must have the scope admin" in refused.json()["detail"]
    assert api.get("/api/v1/traces").status_code == 200
    made = api.post("/api/v1/keys", json={"name": "n", "scopes": ["admin"]}).json()
    assert made["project"] == project
    assert api.get("/api/v1/traces").status_code == 401
    assert api.get("/healthz").status_code == 200
    own = {"X-API-KEY": made["key"]}
    assert api.get("/api/v1/traces", headers=own).status_code == 200
    assert api.post("/api/v1/keys", json={"name": "n", "scopes": ["read"]}, headers=own).status_code == 200
    # The last one that is revoked does not open it again, not even to a process that starts then.
    api.delete(f"/api/v1/keys/{made['id']}", headers=own)
    assert api.get("/api/v1/traces", headers=own).status_code == 401
    assert make_api(to=own_target).get("/api/v1/traces").status_code == 401


def test_a_web_page_makes_no_key(make_api, own_target):
    api = make_api(to=own_target)
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        answer = api.post("/api/v1/keys", json={"name": "n", "scopes": ["admin"]}, headers=headers)
        assert answer.status_code == 403
    assert api.get("/api/v1/keys").json() == {"keys": []}
