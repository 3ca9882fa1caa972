from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from spanledger.server.stub_provider import StubProvider
from tests.instrumentation.bedrock.asking import ACCESS
from tests.instrumentation.stubs import bedrock as stubs


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[stubs.BedrockStub, StubProvider]]:
    with stubs.serving() as running:
        yield running


@pytest.fixture
def stub(served: tuple[stubs.BedrockStub, StubProvider]) -> stubs.BedrockStub:
    served[0].bills.clear()
    return served[0]


@pytest.fixture
def url(served: tuple[stubs.BedrockStub, StubProvider]) -> str:
    return served[1].root_url


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
    made = boto3.Session(**ACCESS).client("bedrock-runtime", endpoint_url=url, config=config)
    yield made
    made.close()
