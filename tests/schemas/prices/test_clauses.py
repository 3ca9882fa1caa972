"""schemas.prices.clauses: a clause means what genai-prices means by it; a wrong one is named."""

from __future__ import annotations

import pytest
from genai_prices.types import ModelInfo, _providers_from_raw

from spanledger.schemas.errors import BadData
from spanledger.schemas.prices.clauses import check_clause, matcher, told

CLAUSES = [
    {"equals": "GPT-4o"},
    {"starts_with": "Gpt"},
    {"ends_with": "4O"},
    {"contains": "T-4"},
    {"regex": "^gpt-[0-9]o$"},
    {"regex": "GPT"},
    {"regex": "^(?!gpt)"},
    {"or": [{"equals": "a"}, {"and": [{"contains": "p"}, {"regex": "o"}]}]},
    {"and": [{"starts_with": ""}, {"or": [{"equals": "gpt-4o"}, {"contains": "é"}]}]},
]
TEXTS = ["gpt-4o", "gpt-4o-mini", "a", "", "gp", "é", "o", "xgpt-4o", "i̇"]


@pytest.mark.parametrize("clause", CLAUSES, ids=told)
def test_a_clause_matches_what_it_matches_in_genai_prices(clause):
    raw = [
        {"id": "p", "name": "p", "api_pattern": "p", "models": [{"id": "m", "match": clause, "prices": {}}]}
    ]
    model: ModelInfo = _providers_from_raw(raw)[0].models[0]
    assert check_clause(clause, "here") is clause
    assert [matcher(clause)(text) for text in TEXTS] == [model.is_match(text) for text in TEXTS]


@pytest.mark.parametrize(
    ("clause", "wrong"),
    [
        (None, "one of the keys equals, starts_with"),
        ({}, "one of the keys"),
        ({"equals": "a", "regex": "b"}, "one of the keys"),
        ({"is": "a"}, "there is no clause 'is'; allowed are equals"),
        ({"equals": 5}, "equals needs a text, not 5"),
        ({"regex": "("}, "'\\(' is not a regular expression"),
        ({"or": []}, "or needs a list of clauses"),
        (
            {"or": [{"equals": "a"}, {"and": [{"contains": None}]}]},
            r"\.or\[1\]\.and\[0\]: contains needs",
        ),
    ],
)
def test_what_is_no_clause_is_named_with_its_place(clause, wrong):
    with pytest.raises(BadData, match=f"^here.*{wrong}"):
        check_clause(clause, "here")
