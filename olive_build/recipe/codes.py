"""The codes of diagnostics: stable, so that pipelines and searches can rely on them."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """R is an error in a recipe, W a warning. The comment says what each is for."""

    UNKNOWN_FIELD = "R001"
    WRONG_TYPE = "R002"
    MISSING_FIELD = "R003"
    DUPLICATE_KEY = "R004"
    BAD_VALUE = "R005"
    UNKNOWN_NAME = "R006"  # a target, provider, variant, family, task, metric ... that is not there
    UNREADABLE = "R010"  # no such file, too large, binary, not UTF-8
    SYNTAX = "R011"  # not YAML
    REFUSED_YAML = "R012"  # YAML that a recipe may not use: tags, merge keys, absurd nesting
    EMPTY = "R013"
    BAD_OVERRIDE = "R014"  # a --set argument that is no `key=value`
    BAD_EXTENDS = "R015"
    WRONG_VERSION = "R016"
    NAME_MISMATCH = "R017"
    FAMILY_OR_TASK = "R020"
    NOT_PINNED = "R021"  # a source that could change under the recipe
    BAD_PATH = "R022"  # leaves the repository, or is not there
    PICKLED_WEIGHTS = "R023"
    NO_TARGETS = "R024"
    BAD_VARIANT = "R025"
    CANNOT_RUN = "R026"  # the provider, target or family cannot do what is asked
    CONFLICT = "R027"  # two settings that exclude each other
    BAD_PASS = "R028"
    NOT_BUILT_YET = "R030"
    BUDGET_CONTRADICTION = "R040"
    LOOSE_BUDGET = "W001"
    UNUSED_BUDGET = "W002"
    UNUSED_VARIANT = "W003"
