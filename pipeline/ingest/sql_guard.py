"""Running the SQL of a params file where it can only read: one SELECT, over files that were named, and nothing else.

Three things hold, each by itself. sqlglot reads the text as one query that changes nothing. DuckDB's own parser agrees
that it is one SELECT. And the query runs in a DuckDB of its own that was locked before: no extensions, no other files,
no network, no variables of this process, no setting that could be turned back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import sqlglot
from sqlglot import exp, tokens

from pipeline.common.errors import UserError
from pipeline.common.memory_limit import duckdb_settings
from pipeline.common.sql import literal

RESULT = "result"
_CHANGES = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Copy, exp.Command, exp.Attach,
    exp.Detach, exp.Pragma, exp.Set, exp.Use, exp.Into,
)  # fmt: skip
_FILE_FUNCTIONS = ("read_", "parquet_", "sniff_csv", "glob")
_LOCKED = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,  # a table's name never means a variable of this process
}


def run_query(sql: str, key: str, folder: Path, folders: Sequence[str], scratch: Path, timezone: str) -> Path:
    """Run a query of a params file.

    Parameters
    ----------
    sql : str
        One SELECT of DuckDB's SQL. Relative paths in it start at `folder`.
    key : str
        The dotted params key of the source, for messages.
    folder : Path
        Folder of the params file; files in it may be read.
    folders : sequence of str
        Further folders whose files may be read, relative to `folder`.
    scratch : Path
        A folder for temporary files.
    timezone : str
        In which the query reads times without an offset.

    Returns
    -------
    Path
        A DuckDB database whose table ``result`` holds the rows.

    Raises
    ------
    UserError
        The text is not one SELECT, or it reads a file that it may not; the message names the key.
    duckdb.Error
        The query fails.
    """
    text = _absolute_paths(sql, one_select(sql, f"{key}.sql"), folder)
    path = scratch / f"{key}.query.duckdb"
    path.unlink(missing_ok=True)
    spill = {"temp_directory": str(scratch / f"{key}.spill")}
    with contextlib.closing(duckdb.connect(path, config={**duckdb_settings(), **spill, **_LOCKED})) as connection:
        with contextlib.suppress(duckdb.InvalidInputException):  # a notebook without widgets has no bar to turn off
            connection.execute("SET enable_progress_bar = false")
        connection.execute(f"SET TimeZone = {literal(timezone)}")
        readable = [f"{place}/" for place in [folder.resolve(), *((folder / name).resolve() for name in folders)]]
        connection.execute(f"SET allowed_directories = [{', '.join(literal(place) for place in readable)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            connection.sql(text).create(RESULT)
        except duckdb.PermissionException as error:
            raise UserError(
                f"{key}.sql: {str(error).splitlines()[0].removeprefix('Permission Error: ')}; a query reads files in "
                "the folder of the params file, and in the folders that data.folders names"
            ) from None
    return path


def one_select(sql: str, key: str, what: str = "one SELECT") -> exp.Query:
    """Read a text as one SELECT that changes nothing.

    Parameters
    ----------
    sql : str
    key : str
        The params key or option that it was written under.
    what : str
        What was to be written there.

    Raises
    ------
    UserError
        Naming the key and what was found instead.
    """
    refused = f"{key}: must be {what} that changes nothing"
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="duckdb") if statement is not None]
        kinds = [statement.type for statement in duckdb.extract_statements(sql)]
    except (sqlglot.errors.SqlglotError, duckdb.Error, RecursionError) as error:
        raise UserError(f"{refused}; it cannot be read as SQL: {_first_line(error)}") from None
    if len(statements) != 1 or len(kinds) != 1:
        raise UserError(f"{refused}; found {max(len(statements), len(kinds))} statements")
    tree = statements[0]
    change = tree.find(*_CHANGES)
    if change is not None or not isinstance(tree, exp.Query) or kinds != [duckdb.StatementType.SELECT]:
        found = change or tree
        name = str(found.this) if isinstance(found, exp.Command) else found.key
        raise UserError(f"{refused}; found {name.upper()}")
    return tree


def _absolute_paths(sql: str, tree: exp.Query, folder: Path) -> str:
    """Write relative paths of files as absolute ones: DuckDB would look beside the running process first."""
    replaced = dict(_tables_in_quotes(sql, tree))
    replaced |= dict(_arguments_of_file_functions(sql))
    for (start, end), name in sorted(replaced.items(), reverse=True):
        if "://" not in name and not name.startswith(("/", "~")):
            sql = f"{sql[:start]}{literal(str(folder.resolve() / name))}{sql[end:]}"
    return sql


def _tables_in_quotes(sql: str, tree: exp.Query) -> Iterator[tuple[tuple[int, int], str]]:
    """Find tables whose name is a file's: written as text, or quoted and with a folder or an ending in it."""
    for table in tree.find_all(exp.Table):
        name = table.this
        if isinstance(name, exp.Identifier) and name.quoted and not table.args.get("db") and "start" in name.meta:
            start, end = name.meta["start"], name.meta["end"] + 1
            if sql[start] == "'" or "." in name.name or "/" in name.name:
                yield (start, end), name.name


def _arguments_of_file_functions(sql: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Find the texts in the first argument of every function that reads files."""
    found = sqlglot.tokenize(sql, read="duckdb")
    for place, token in enumerate(found[:-1]):
        if not token.text.lower().startswith(_FILE_FUNCTIONS):
            continue
        if found[place + 1].token_type != tokens.TokenType.L_PAREN:
            continue
        depth = 0
        for inner in found[place + 1 :]:
            opens = inner.token_type in (tokens.TokenType.L_PAREN, tokens.TokenType.L_BRACKET)
            closes = inner.token_type in (tokens.TokenType.R_PAREN, tokens.TokenType.R_BRACKET)
            depth += opens - closes
            if depth == 0 or (depth == 1 and inner.token_type == tokens.TokenType.COMMA):
                break
            if inner.token_type == tokens.TokenType.STRING:
                yield (inner.start, inner.end + 1), inner.text


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).replace("\x1b[4m", "").replace("\x1b[0m", "").splitlines()]
    return next((line for line in lines if line), type(error).__name__)[:200]
