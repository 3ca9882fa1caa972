"""The parameters of one trace."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from spanledger.query_api.trees.fields import EVERYTHING, FIELDS_FORM, chosen_groups

TreeFormat = Literal["json", "otlp", "otlp-logs"]
ALLOWED_OF_TREES = {"fields": FIELDS_FORM}


def _checked(text: str) -> str:
    chosen_groups(text)
    return text


class TreeParameters(BaseModel):
    """What of a trace is given, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fields: Annotated[str, AfterValidator(_checked)] | None = Field(
        None, max_length=200, description=f"Groups of fields of the spans: {FIELDS_FORM}. Default: all."
    )
    format: TreeFormat = Field(
        "json",
        description="json: the tree. otlp: its spans as OTLP: JSON or, with "
        "`Accept: application/x-protobuf`, protobuf. otlp-logs: its log records likewise.",
    )

    @model_validator(mode="after")
    def _fields_of_trees_only(self) -> Self:
        if self.fields is not None and self.format != "json":
            raise ValueError("fields are chosen of format=json only: OTLP is whole")
        return self

    def groups(self) -> frozenset[str]:
        return EVERYTHING if self.fields is None else chosen_groups(self.fields)
