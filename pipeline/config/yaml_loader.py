"""Reading a params file as YAML, strictly, with the line of every key at hand for error messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline.common.errors import UserError


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


def read_yaml(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """Read a YAML mapping, and the node tree that knows its lines.

    Raises
    ------
    UserError
        The file is missing, unreadable, empty, not YAML, or not a mapping.
    """
    try:
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
