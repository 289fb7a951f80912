"""No regular expression takes longer than its text: a crafted cell must not hold a night's run."""

import ast
from pathlib import Path
from re import _constants as ops  # the standard library's own reader of patterns
from re import _parser as parser

import pytest

ROOT = Path(__file__).parent.parent.parent
WHOLE = ("fullmatch", "match")
READ_ONCE = {
    "[a-z]+(_[a-z]+)+": "each repetition begins with a sign that none of the others holds",
    r"(^|_)(age|alter|birth\w*": "names of columns; a word's rest ends at an underscore, which is found at once",
}
"""Patterns, or their beginnings, that a person looked at: why they are read once all the same."""


def patterns():
    """Every pattern that a module hands to `re` or to a text column, and by which method."""
    for package in ("features", "models", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            named = {
                target.id: node.value
                for node in tree.body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(tree):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                    continue
                owner, method = ast.unparse(node.func.value), node.func.attr
                if owner == "re" or (owner.endswith(".str") and method in ("contains", "extract", "fullmatch")):
                    text = constant(node.args[0], named)
                    if text is not None:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", text, method


def constant(node, named):
    if isinstance(node, ast.Name) and node.id in named:
        return constant(named[node.id], named)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        pieces = [constant(getattr(part, "value", part), named) or "x" for part in node.values]
        return "".join(pieces).replace("{{", "{").replace("}}", "}")
    return None


def faults(pattern, whole=False):
    """Name the repetitions that may be tried again and again over the same text."""
    found = []

    def look(sequence, inside, follows):
        for place, (op, value) in enumerate(sequence):
            rest = follows or any(needs(later) for later in sequence[place + 1 :])
            if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
                _, most, inner = value
                unbounded = most is ops.MAXREPEAT
                if unbounded and inside:
                    found.append("a repetition without bound within another")
                if unbounded and rest and not whole and not anchored(pattern):
                    found.append("a search whose repetition without bound may fail behind it")
                look(inner, inside or unbounded, rest)
            elif op is ops.SUBPATTERN:
                look(value[-1], inside, rest)
            elif op is ops.BRANCH:
                for branch in value[1]:
                    look(branch, inside, rest)
            elif op in (ops.ASSERT, ops.ASSERT_NOT):
                look(value[1], inside, True)

    look(list(parser.parse(pattern)), False, False)
    return found


def needs(item):
    op, value = item
    if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
        return value[0] > 0
    return True


def anchored(pattern):
    return pattern.startswith(("^", r"\A"))


FOUND = sorted(patterns())


def test_patterns_are_found():
    assert len(FOUND) > 15


@pytest.mark.parametrize(("where", "pattern", "method"), FOUND, ids=[where for where, *_ in FOUND])
def test_a_pattern_reads_any_text_once(where, pattern, method):
    if not any(pattern.startswith(known) for known in READ_ONCE):
        assert not faults(pattern, whole=method in WHOLE)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"[\w.]+@x", r"(\s*)([=+])", r"(a|a)*b", r"x\d+\d"])
def test_a_pattern_that_can_be_held_up_is_seen(pattern):
    assert faults(pattern)
