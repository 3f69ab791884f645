"""Theory checks: one file per statement, each with `check(config) -> Verdict`.

`python -m theory_checks` lists them, and `python -m theory_checks all` runs them.
"""
