"""schemas.projects: names that can stand in a URL and a file name, and no project twice."""

from __future__ import annotations

from contextlib import closing

import pytest

from spanledger.schemas.database import connect
from spanledger.schemas.errors import BadData, Conflict
from spanledger.schemas.projects import checked_name, create_project, stored_projects


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "...", ".a", "x" * 100])
def test_a_name_of_letters_digits_dots_dashes_and_underscores_is_one(name):
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "a\n", "é", "x" * 101, "a'", "%2e", "\0", "../x"]
)
def test_no_other_is(name):
    with pytest.raises(BadData, match=r"^here: not the name of a project; allowed: 1 to 100 letters"):
        checked_name(name, "here")


def test_a_project_is_stored_once(own_target):
    with closing(connect(own_target)) as client:
        made = create_project(client, "alpha", "of the first team")
        create_project(client, "Alpha")
        with pytest.raises(Conflict, match="there is a project alpha already"):
            create_project(client, "alpha")
        with pytest.raises(BadData, match="description: at most 1000"):
            create_project(client, "beta", "x" * 1001)
        assert [row.name for row in stored_projects(client)] == ["Alpha", "alpha"]
        assert stored_projects(client)[1] == made
