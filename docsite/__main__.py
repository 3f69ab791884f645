"""Makes what the site stores: `python -m docsite figures [PAGE ...]`.

Or `notebooks [NAME ...]`, or `gallery [RUNS]`.
"""

import sys
from pathlib import Path

from docsite import blocks, gallery, notebooks


def main(words: list[str]) -> int:
    """Runs the command line and returns its exit code."""
    if words[:1] == ["figures"]:
        pages = {page.stem: page for page in blocks.with_figures()}
        for name in words[1:] or pages:
            print(f"{name}: {', '.join(blocks.figures(pages[name]))}", flush=True)
            blocks.run(pages[name], blocks.DOCS)
        return 0
    if words[:1] == ["notebooks"]:
        for name in words[1:] or notebooks.names():
            print(notebooks.write(name), flush=True)
        return 0
    if words[:1] == ["gallery"] and len(words) < 3:
        lacks = [each for runs in words[1:] for each in gallery.collect(Path(runs))]
        gallery.PAGE.write_text(gallery.page(), "utf-8")
        for each in lacks + gallery.missing():
            print(f"warning: {each}", file=sys.stderr)
        return 0
    print(__doc__)
    return 0 if words[:1] in ([], ["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
