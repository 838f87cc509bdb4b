"""YAML text with positions -> Recipe -> TargetBuild; all diagnostics of a file in one run."""
