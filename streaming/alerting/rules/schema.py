"""The published JSON Schema of rule files: `python -m streaming.alerting.rules.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from streaming.alerting.rules.ruleset import RuleFile
from streaming.settings import CHECKOUT

SCHEMA_FILE = CHECKOUT / "rules" / "rules.schema.json"


def schema_text() -> str:
    """The schema as its file must hold it; a test compares them."""
    schema = RuleFile.model_json_schema(mode="validation")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Vigil alert rules"}
    return json.dumps(schema, indent=2) + "\n"


def main(target: Path = SCHEMA_FILE) -> None:
    """Writes the schema."""
    target.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
