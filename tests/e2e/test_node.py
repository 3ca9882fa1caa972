"""Another language: the official OTLP exporters of Node.js send, the API returns all of it, typed."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from processes import clean_environment

NODE = Path(__file__).parent / "node"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node() -> str:
    """The node program with the exporter's packages beside the script."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed: spans from Node.js are not tested")
    # npm writes this file when it is done.
    if not (NODE / "node_modules" / ".package-lock.json").is_file():
        pytest.skip("the packages of Node.js are not installed: run `npm ci --prefix tests/e2e/node`")
    return program


@pytest.fixture(scope="module", params=["grpc", "http/protobuf", "http/protobuf gzip", "http/json"])
def sent(request, placement, node) -> dict:
    """What the script says that it sent, by each of the exporters."""
    protocol, *compression = request.param.split()
    collector = placement.collector
    url = collector.otlp if protocol == "grpc" else f"{collector.otlp_http}/v1/traces"
    command = [node, str(NODE / "send.mjs"), protocol, url, *compression]
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=clean_environment()
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def tree(placement, sent) -> dict:
    return placement.tree(sent["trace_id"])


def test_the_tree_is_what_node_sent(tree, sent):
    (root,) = tree["roots"]
    (child,) = root["children"]
    assert tree["span_count"] == 2
    assert (root["span_id"], root["name"], root["kind"]) == (sent["root_id"], "root", "server")
    assert (child["span_id"], child["name"], child["kind"]) == (sent["child_id"], "child", "client")
    assert child["parent_span_id"] == sent["root_id"]
    assert (child["status"], child["status_message"]) == ("error", "it failed")


def exactly(value: object) -> str:
    """A value with its types: 1, 1.0 and true differ here."""
    return json.dumps(value, sort_keys=True)


def test_every_attribute_comes_back_with_its_value_and_type(tree, sent):
    (root,) = tree["roots"]
    for node in (root, *root["children"]):
        attributes = dict(node["attributes"])
        assert attributes.pop("bytes") == {"@bytes": b64encode(bytes(sent["bytes"])).decode()}
        assert exactly(attributes) == exactly(sent["attributes"])


def test_events_and_links_come_back_with_their_attributes(tree, sent):
    (child,) = tree["roots"][0]["children"]
    assert [(event["name"], event["attributes"]) for event in child["events"]] == [
        ("first", {"n": 1, "list": ["x", "y"]}),
        ("second", {}),
    ]
    (link,) = child["links"]
    assert (link["trace_id"], link["span_id"]) == (sent["trace_id"], sent["root_id"])
    assert link["attributes"] == {"why": "because", "weight": 3}


def test_resource_and_scope_come_back(tree):
    (root,) = tree["roots"]
    resource = root["resource"]["attributes"]
    assert (resource["service.name"], resource["process.pid"]) == ("node-app", 4711)
    assert resource["host.tags"] == ["blue", "green"]
    assert (root["scope"]["name"], root["scope"]["version"]) == ("node-scope", "1.2.3")
