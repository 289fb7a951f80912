"""Reading a params file as YAML, strictly, with the line of every key at hand for error messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.common.errors import UserError

BYTES_LIMIT = 4 << 20
NODES_LIMIT = 200_000
DEPTH_LIMIT = 50


class _Loader(yaml.SafeLoader):
    """YAML in which a date stays text, and yes, no, on and off are words, as they are in a company's data."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _plain_numbers() -> None:
    """Read 1:30 as text and not as 90, and 010 as text and not as 8: nobody who writes them means that."""
    kept = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
    for first, resolvers in _Loader.yaml_implicit_resolvers.items():
        _Loader.yaml_implicit_resolvers[first] = [(tag, form) for tag, form in resolvers if tag not in kept]
    _Loader.add_implicit_resolver(
        "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789")
    )
    _Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(
            r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
        ),
        list("-+0123456789."),
    )


_plain_numbers()


def _keys_once(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    """Build a mapping, refusing a key that stands twice: YAML would silently keep the last."""
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = key_node.value
        if key in seen and key != "<<":
            raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' stands twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _keys_once)


def refuse_bombs(node: yaml.Node) -> None:
    """Refuse a tree whose aliases stand for more than a file of this size could say, or for themselves.

    Aliases of aliases double with every line: a page of them stands for more values than memory holds.

    Raises
    ------
    yaml.YAMLError
        More than `NODES_LIMIT` values once every alias is written out, or nested more than `DEPTH_LIMIT` deep.
    """
    counted: dict[int, int] = {}

    def count(inner: yaml.Node, depth: int) -> int:
        if depth > DEPTH_LIMIT:
            raise yaml.YAMLError(f"it is nested more than {DEPTH_LIMIT} deep, or an alias stands for itself")
        if id(inner) not in counted:
            children: list[yaml.Node] = []
            if isinstance(inner, yaml.MappingNode):
                children = [one for pair in inner.value for one in pair]
            elif isinstance(inner, yaml.SequenceNode):
                children = inner.value
            total = 1
            for child in children:
                total += count(child, depth + 1)
                if total > NODES_LIMIT:
                    raise yaml.YAMLError(f"its aliases stand for more than {NODES_LIMIT:,} values")
            counted[id(inner)] = total
        return counted[id(inner)]

    count(node, 0)


def parse_yaml(text: str) -> Any:
    """Read YAML as strictly as a params file: each key once, no bombs, dates and yes and no as text.

    Raises
    ------
    yaml.YAMLError, ValueError
        It cannot be read.
    """
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return None
    refuse_bombs(node)
    return loader.construct_document(node)


def read_yaml(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """Read a YAML mapping, and the node tree that knows its lines.

    Raises
    ------
    UserError
        The file is missing, unreadable, empty, not YAML, or not a mapping.
    """
    try:
        if path.stat().st_size > BYTES_LIMIT:
            raise UserError(f"{path} has more than {BYTES_LIMIT:,} bytes: it is no params file.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"No params file at {path}: name one with --params, or make a company with `leadrev simulate --out demo`."
        ) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a params file: name the YAML file in it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the params file {path}: {error}. It must be a UTF-8 text file.") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            refuse_bombs(node)
        content = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where} is not readable YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path} is not readable YAML: {' '.join(str(error).split())}.") from None
    except (AttributeError, TypeError, RecursionError) as error:  # what YAML's own tags and nesting can bring about
        raise UserError(f"{path} is not readable YAML: {error}.") from None
    if content is None:
        raise UserError(f"The params file {path} is empty: it needs at least company and data.sources.leads and deals.")
    if not isinstance(content, dict) or node is None:
        raise UserError(
            f"{path} line 1: a params file is a list of 'key: value' lines; found {type(content).__name__}."
        )
    return content, node


def line_of(node: yaml.Node, keys: tuple[Any, ...]) -> int:
    """Line (from 1) of the deepest of nested keys that the tree has."""
    line: int = node.start_mark.line
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [(name, value) for name, value in node.value if name.value == str(key)]
            if not found:
                break
            name, node = found[-1]
            line = name.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line
        else:
            break
    return line + 1
