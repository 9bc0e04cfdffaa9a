"""What every page is put together with: templates, assets, and data that a page carries within itself."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.utils import PlotlyJSONEncoder


def environment() -> Environment:
    """The templates; every value that is put into them is escaped."""
    return Environment(
        loader=PackageLoader("pipelines.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> str:
    return (resources.files("pipelines.report") / "templates" / name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """What a page's security policy knows a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def as_json(data: Mapping[str, Any]) -> Markup:
    """JSON that no HTML parser can mistake for the end of its element."""
    text = json.dumps(data, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def packed(text: str) -> Markup:
    """Text for an element of a page, in a quarter of its size: gzip in base64."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode())
