"""The codes of diagnostics: stable, so that pipelines and searches can rely on them."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """R is an error in a recipe, W a warning. `meaning` says in a line what each is for."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Code:
        """Return the member that equals `code`."""
        member = str.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    UNKNOWN_FIELD = "R001", "a field that the language does not have, most often a typo"
    WRONG_TYPE = "R002", "a value of another type: text for a number, a list for a map"
    MISSING_FIELD = "R003", "a field that must be there"
    DUPLICATE_KEY = "R004", "one key written twice in a map"
    BAD_VALUE = "R005", "a value that is not one of those accepted"
    UNKNOWN_NAME = "R006", "a target, provider, variant, family, task, metric or data set not known"
    UNREADABLE = "R010", "a file that is not there, too large, binary or not UTF-8"
    SYNTAX = "R011", "text that is not YAML"
    REFUSED_YAML = "R012", "YAML that a recipe may not use: tags, merge keys, absurd nesting"
    EMPTY = "R013", "a file without a recipe in it"
    BAD_OVERRIDE = "R014", "a --set argument that is not key=value, or has no place to go"
    BAD_EXTENDS = "R015", "a base that is not there, goes in a circle, or is one too many"
    WRONG_VERSION = "R016", "a version of the language other than this release's"
    NAME_MISMATCH = "R017", "a name that differs from the file's"
    FAMILY_OR_TASK = "R020", "a model with both a family and a task, or neither"
    NOT_PINNED = "R021", "a source that could change under the recipe, or is not given"
    BAD_PATH = "R022", "a path that leaves the repository, or leads nowhere"
    PICKLED_WEIGHTS = "R023", "weights as pickles only, which run code when they are opened"
    NO_TARGETS = "R024", "a recipe that builds nothing"
    BAD_VARIANT = "R025", "a variant that cannot be a file's name, or a target with none"
    CANNOT_RUN = "R026", "something that the provider, target or family cannot do"
    CONFLICT = "R027", "two settings that exclude each other, or one named twice"
    BAD_PASS = "R028", "a pass or option that Olive does not have, or one that has no place"
    BUDGET_CONTRADICTION = "R040", "budgets that no file could keep, or that exclude each other"
    LOOSE_BUDGET = "W001", "a budget looser than the shipped default"
    UNUSED_BUDGET = "W002", "budgets of a variant that is not built"
    UNUSED_VARIANT = "W003", "a variant that no target builds"
    SLOW_KERNEL = "W004", "weights in blocks that the provider has no kernel for at that level"
