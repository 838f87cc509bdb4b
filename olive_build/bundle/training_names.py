"""What a README's code calls a bundle's inputs: variables that neither its language nor it has.

A recipe names inputs as it likes, `batch` or `fun`: the graph's name stays in the code's strings,
and the variable gets another.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping

# Reserved words alone; those that a language keeps in some places only may be variables.
# kotlinlang.org/docs/keyword-reference.html (hard keywords), docs.swift.org: Lexical Structure,
# learn.microsoft.com: C# keywords, ECMAScript 2024 12.7.2 with what modules and strict code add.
WORDS: Mapping[str, frozenset[str]] = {
    "kotlin": frozenset(
        "as break class continue do else false for fun if in interface is null object package "
        "return super this throw true try typealias typeof val var when while".split()
    ),
    "swift": frozenset(
        "Any Self actor as associatedtype async await break case catch class continue default "
        "defer deinit do else enum extension fallthrough false fileprivate for func guard if "
        "import in init inout internal is let nil open operator precedencegroup private protocol "
        "public repeat rethrows return self static struct subscript super switch throw throws "
        "true try typealias var where while".split()
    ),
    "csharp": frozenset(
        "abstract as base bool break byte case catch char checked class const continue decimal "
        "default delegate do double else enum event explicit extern false finally fixed float for "
        "foreach goto if implicit in int interface internal is lock long namespace new null object "
        "operator out override params private protected public readonly ref return sbyte sealed "
        "short sizeof stackalloc static string struct switch this throw true try typeof uint ulong "
        "unchecked unsafe ushort using virtual void volatile while await record".split()
    ),
    "javascript": frozenset(
        "arguments async await break case catch class const continue debugger default delete do "
        "else enum eval export extends false finally for function if implements import in "
        "instanceof interface let new null package private protected public return static super "
        "switch this throw true try typeof undefined var void while with yield".split()
    ),
    "python": frozenset([*keyword.kwlist, *keyword.softkwlist, *dir(builtins)]),
}
# Of the code, what is the bundle's: it holds no name of the template's own.
PLACEHOLDER = re.compile(r"\$\{?\w+\}?")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDED = "values"


def variables(
    names: Iterable[str], language: str, template: str, others: Iterable[str] = ()
) -> dict[str, str]:
    """Return a variable for each name, all different, as the language writes them.

    No variable is a word of the language, one of the `template`'s code, or one of `others`.
    """
    taken = {*WORDS[language], *others}
    for code in FENCE.findall(template):
        taken.update(re.findall(r"[A-Za-z_]\w*", PLACEHOLDER.sub(" ", code)))
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        words = _words(name)
        while (variable := _joined(words, language)) in taken:
            words.append(ADDED)
        taken.add(variable)
        found[name] = variable
    return found


def _words(name: str) -> list[str]:
    words = [word for word in re.split(r"\W+|_+", name) if word]
    # A variable cannot begin with a digit.
    return words if words and not words[0][0].isdigit() else [ADDED, *words]


def _joined(words: list[str], language: str) -> str:
    if language == "python":
        return "_".join(words).lower()
    first, *rest = words
    return first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in rest)
