"""schemas.removals: every process knows within a second what must not be stored."""

from __future__ import annotations

import secrets
import time

from processes import wait_until

from spanledger.schemas.removals import Removals


def write_deletion(writer, project, deletion, *ids, state="marked"):
    writer.command(
        "INSERT INTO deleted_traces SELECT {project:String}, {deletion:String}, "
        "toFixedString(unhex(arrayJoin({ids:Array(String)})), 16), now64(6)",
        parameters={"project": project, "deletion": deletion, "ids": [one.hex() for one in ids]},
    )
    write_state(writer, project, deletion, state)


def write_state(writer, project, deletion, state):
    writer.command(
        "INSERT INTO deletions (project, deletion, state, written_at) "
        "SELECT {project:String}, {deletion:String}, {state:String}, now64(6)",
        parameters={"project": project, "deletion": deletion, "state": state},
    )


def ids_of(removals, project):
    place = removals.now().of(project, time.time_ns())
    return [
        bytes(pair) for pair in removals.now().traces.T[place.first : place.last].copy().view("V16").ravel()
    ]


def test_deletions_of_all_projects_are_there_each_in_its_place(target, writer, project):
    removals = Removals(target)
    mine, other = [secrets.token_bytes(16) for _ in range(5)], secrets.token_bytes(16)
    write_deletion(writer, project, "1", *mine[:3])
    write_deletion(writer, project, "2", *mine[2:])
    write_deletion(writer, f"{project}-b", "1", other)
    removals.refresh(writer)
    assert set(ids_of(removals, project)) == set(mine)
    assert ids_of(removals, f"{project}-b") == [other]
    assert ids_of(removals, "nobody") == []


def test_a_deletion_whose_ids_are_not_all_written_is_read_when_they_are(target, writer, project):
    """What was seen of it before would stay all there is."""
    removals = Removals(target)
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    write_deletion(writer, project, "1", first, state="begun")
    removals.refresh(writer)
    assert ids_of(removals, project) == []
    write_deletion(writer, project, "1", second)
    removals.refresh(writer)
    assert set(ids_of(removals, project)) == {first, second}


def test_nothing_is_read_again_while_nothing_changes(target, writer, project):
    """Its version tells others that they may go on with what they know."""
    removals = Removals(target)
    write_deletion(writer, project, "1", secrets.token_bytes(16))
    removals.refresh(writer)
    before = removals.now()
    removals.refresh(writer)
    assert removals.now() is before
    write_deletion(writer, project, "2", secrets.token_bytes(16))
    removals.refresh(writer)
    assert removals.now().version > before.version


def test_another_process_hears_of_it_by_itself(target, writer, project):
    removals = Removals(target)
    removals.start()
    try:
        gone = secrets.token_bytes(16)
        write_deletion(writer, project, "1", gone)
        wait_until(lambda: ids_of(removals, project) == [gone], 10)
    finally:
        removals.stop()


def test_retention_is_the_projects_own_else_the_default(target, writer, project):
    removals = Removals(target, 30)
    rows = [(project, 7, False), (f"{project}-b", None, False), (f"{project}-c", None, True)]
    writer.insert("retention", rows, column_names=("project", "days", "by_default"))
    removals.refresh(writer)
    days = [removals.now().days_of(f"{project}{more}") for more in ("", "-b", "-c", "-d")]
    assert days == [7, None, 30, 30]
