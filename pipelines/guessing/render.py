"""The draft as YAML, every comment above the key that it is about. The same draft gives the same text."""

import textwrap
from datetime import UTC, datetime
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.guessing.draft import Draft

_WIDTH = 118


def render(draft: Draft) -> str:
    """The text of the space file."""
    environment = Environment(
        loader=PackageLoader("pipelines.guessing", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # YAML, not HTML
    )
    environment.filters |= {"flow": flow, "moment": moment, "comment": comment}
    return environment.get_template("space.yaml").render(draft=draft)


def flow(value: Any) -> str:
    """A value on one line."""
    # The end mark stands behind bare scalars.
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def comment(text: str, indent: int = 0) -> str:
    """The text as lines of comment; a command stays on one line, so that it can be copied."""
    start = " " * indent + "# "
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    if text.startswith("python "):
        return f"{start}  {printable}"
    lines = textwrap.wrap(printable, _WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
    return "\n".join(start + line for line in lines)
