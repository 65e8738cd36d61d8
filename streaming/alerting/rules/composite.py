"""Rules of kind `composite`: about the incidents of other rules."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.base import FieldName, Name, RuleBase


class CompositeRule(RuleBase):
    """Fires while incidents of all rules of `all_of` are open, of at least one of `any_of`, and of none of `none_of`,
    in groups that agree in the fields of `same`; over when that no longer holds."""

    kind: Literal["composite"]
    all_of: tuple[Name, ...] = Field((), description="rules that must all have an open incident")
    any_of: tuple[Name, ...] = Field((), description="rules of which one must")
    none_of: tuple[Name, ...] = Field((), description="rules of which none may")
    same: tuple[FieldName, ...] = Field(
        (), description="fields in which their groups must agree, such as service.name; they are this one's group"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> CompositeRule:
        if not self.all_of and not self.any_of:
            raise ValueError("asks nothing; give all_of or any_of")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of all rules that it is made of."""
        return (*self.all_of, *self.any_of, *self.none_of)
