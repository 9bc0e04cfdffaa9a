"""Reads a space file: YAML by a safe loader, every mistake answered with file, line, key, value and what is allowed."""

from collections.abc import Hashable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import LatticeError
from schemas.references import BadReference
from schemas.space import ModelSpace

Location = tuple[int | str, ...]
# By libyaml where PyYAML was built with it: eight times as fast, which a file of thousands of features notices.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def shipped_spaces() -> dict[str, Path]:
    """The space files that come with the project: name -> path."""
    folder = Path(str(resources.files("schemas") / "spaces"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_space(name: str | Path) -> ModelSpace:
    """Read the space file at a path, or the shipped one of that name.

    Raises:
        LatticeError: there is no such file, or it is not a valid space.
    """
    path = shipped_spaces().get(str(name), Path(name))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LatticeError(
            str(path),
            f"The space file cannot be read: {getattr(error, 'strerror', None) or error}.",
            f"Give a path to a YAML file, or one of the shipped spaces: {', '.join(shipped_spaces())}.",
        ) from error
    tree, lines = _parse(path, text)
    try:
        return ModelSpace.model_validate(tree, context={"folder": path.parent})
    except ValidationError as error:
        raise _explain(path, tree, lines, error) from error


_MERGE = "tag:yaml.org,2002:merge"


def _parse(path: Path, text: str) -> tuple[Any, dict[Location, int]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Location, int] = {(): 1}
        if node is not None:
            _walk(path, loader, node, (), lines)
        return (loader.construct_document(node) if node is not None else None), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise LatticeError(
            f"{path}, line {line}", f"Not valid YAML: {getattr(error, 'problem', None) or error}.", "Mend that line."
        ) from error
    finally:
        loader.dispose()


def _walk(path: Path, loader: yaml.SafeLoader, node: yaml.Node, at: Location, lines: dict[Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        own = [pair for pair in node.value if pair[0].tag != _MERGE]
        for key_node, value_node in own:
            key: Hashable = loader.construct_object(key_node, deep=True)
            here = (*at, key if isinstance(key, int) else str(key))
            if here in lines:
                raise LatticeError(
                    f"{path}, line {key_node.start_mark.line + 1}",
                    f"The key '{key}' is given twice (first on line {lines[here]}).",
                    "Keep one of them.",
                )
            lines[here] = key_node.start_mark.line + 1
            _walk(path, loader, value_node, here, lines)
        if len(own) < len(node.value):
            # What `<<: *anchor` brings, where there is no key of its own.
            loader.flatten_mapping(node)
            names = {str(loader.construct_object(key_node, deep=True)) for key_node, _ in own}
            brought = {str(loader.construct_object(pair[0], deep=True)): pair for pair in node.value}
            others = [pair for name, pair in brought.items() if name not in names]
            _walk(path, loader, yaml.MappingNode(node.tag, others), at, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            lines[(*at, index)] = child.start_mark.line + 1
            _walk(path, loader, child, (*at, index), lines)


def _explain(path: Path, tree: Any, lines: dict[Location, int], error: ValidationError) -> LatticeError:
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    location = _in_file(cause.location if isinstance(cause, BadReference) else first["loc"], lines)
    key = ".".join(str(part) for part in location) or "the file"
    place = f"{path}, line {lines[location]}, {key}"
    message = str(cause) if cause is not None else first["msg"]
    if first["type"] == "missing":
        missing = str(first["loc"][-1])
        return LatticeError(place, f"The key '{missing}' is missing.", f"Add '{missing}' there.")
    value = _value(tree, location)
    if first["type"] == "extra_forbidden":
        return LatticeError(
            place, f"The key '{location[-1]}' is not known here (value: {value!r}).", _allowed(location)
        )
    remedies = {"literal_error": f"Allowed: {first.get('ctx', {}).get('expected')}."}
    return LatticeError(
        place,
        f"Not valid (value: {_short(value)}): {message}.",
        remedies.get(first["type"], "Change the value; `lattice schema` prints everything that is allowed."),
    )


def _in_file(location: Location, lines: dict[Location, int]) -> Location:
    """The longest path of the file that the error's location (which may name union members too) passes through."""
    found: Location = ()
    for part in location:
        if (*found, part) in lines:
            found = (*found, part)
    return found


def _value(tree: Any, location: Location) -> Any:
    for part in location:
        tree = (
            tree[int(part)] if isinstance(tree, list) else {str(key): value for key, value in tree.items()}[str(part)]
        )
    return tree


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _allowed(location: Location) -> str:
    """The keys that the model at the location's parent knows, read from the JSON Schema."""
    schema = ModelSpace.model_json_schema()
    node: dict[str, Any] = schema
    for part in location[:-1]:
        node = _resolve(schema, node)
        properties = node.get("properties", {})
        named = next(iter(node.get("patternProperties", {}).values()), None)
        node = properties.get(part) or named or node.get("additionalProperties") or node.get("items") or {}
    keys = sorted(_resolve(schema, node).get("properties", {}))
    return f"Allowed keys: {', '.join(keys)}." if keys else "Remove it."


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", ()):
        if "$ref" in option:
            node = option
    if "$ref" in node:
        found: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node
