"""Opens the report of a small run in headless Chromium: `make check-report`.

The page lies in two frames, 400 and 1280 pixels wide, of a page whose script looks into them:
figures must be drawn, nothing may reach beyond its frame, the console must stay empty, and the
keyboard must reach what scrolls. Screenshots are kept beside the report.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from nsjax import runs

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Programs that can open the report, the first that is there."""
WIDTHS = (400, 1280)
"""Of the frames, in CSS pixels: a telephone and a laptop."""
SECONDS = 120
"""Longest time for one look."""

HARNESS = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Check</title>
<body>FRAMES
<pre id="found"></pre>
<script>
const frames = [...document.querySelectorAll("iframe")];
const look = frame => {
  const page = frame.contentDocument, width = frame.clientWidth;
  const own = node => getComputedStyle(node).overflowX === "auto";
  const scrolls = node => node && (own(node) || scrolls(node.parentElement));
  return {
    width, inner: frame.contentWindow.innerWidth,
    scroll: page.documentElement.scrollWidth,
    wide: [...page.body.querySelectorAll("*")]
      .filter(node => node.getBoundingClientRect().right > width + 1 && !scrolls(node))
      .map(node => node.outerHTML.slice(0, 80)),
    images: [...page.images].map(image => [image.alt, image.naturalWidth]),
    tables: page.querySelectorAll("table").length,
    unreachable: [...page.querySelectorAll("*")]
      .filter(node => own(node) && node.scrollWidth > node.clientWidth + 1 && node.tabIndex < 0)
      .length,
    broken: [...page.querySelectorAll("a[href^='#']")]
      .filter(link => !page.getElementById(link.hash.slice(1))).map(link => link.hash),
    ids: page.querySelectorAll("[id]").length
      - new Set([...page.querySelectorAll("[id]")].map(node => node.id)).size,
    loaded: frame.contentWindow.performance.getEntriesByType("resource")
      .map(entry => entry.name).filter(name => !name.startsWith("data:")),
    scripts: page.scripts.length,
  };
};
addEventListener("load", () => {
  for (const frame of frames)
    frame.contentDocument.querySelectorAll("details").forEach(each => each.open = true);
  document.getElementById("found").textContent = JSON.stringify(frames.map(look));
});
</script>
</body></html>
"""


@dataclass(frozen=True)
class Config:
    """Settings with what a page must escape, and with what is too wide for it."""

    preset: str = "quick"
    words: str = "<script>alert('&')</script>"
    long: str = "x" * 400
    deltas: tuple[float, ...] = (1e-2, 1e-8)


def browser() -> str:
    """The program; leaves with a line that says how to get one."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise SystemExit(
        f"error: none of {', '.join(NAMES)} is there; on Debian and Ubuntu: "
        "sudo apt-get install chromium"
    )


def small_run(root: Path) -> Path:
    """A run with tables, figures, values, a text and a log."""
    with runs.open_run(root, "report", Config(), seed=0) as run:
        for number in range(3):
            run.cell(f"point{number}").save({}, {"number": number})
        columns = [f"a column with the number {i}" for i in range(12)]
        rows = [[f"row {i}", *(i / (j + 1) for j in range(11))] for i in range(5)]
        runs.print_table("A table wider than the page <&>", columns, rows)
        runs.print_table("", ["claim", "verdict"], [["a", "holds"], ["b", "violated"]])
        for name in ("wide", "tall"):
            figure = Figure(figsize=(14, 3) if name == "wide" else (4, 8))
            figure.add_subplot().plot([0, 1], [1, 0])
            run.save_figure(figure, name)
        run.save_text("<b>not bold</b> " + "y" * 500, "formula.json")
        values = {"verdict": "holds", "statement": "x < y", "hypotheses": ["x > 0"]}
        run.save_results({}, {**values, "all": list(range(500))})
        run.log("half way & more")
    return run.path


def look(program: str, page: Path, *options: str) -> tuple[str, list[str]]:
    """Opens a page; its document, and what it wrote to the console."""
    with tempfile.TemporaryDirectory() as profile:
        words = [
            # The page is our own, and root has no sandbox.
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={profile}"),
            *("--enable-logging=stderr", "--virtual-time-budget=5000"),
            *(*options, page.absolute().as_uri()),
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise SystemExit(f"error: {program} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def faults(found: dict, images: int) -> list[str]:
    """What is wrong with the page in one frame."""
    lines = [f"{each} is not drawn" for each, width in found["images"] if width <= 0]
    if len(found["images"]) != images:
        lines.append(f"{len(found['images'])} figures instead of {images}")
    if found["inner"] != found["width"]:
        lines.append(f"the frame is {found['inner']} wide")
    if found["scroll"] > found["width"]:
        lines.append(f"the page is {found['scroll']} wide")
    lines += [f"reaches beyond the window: {each}" for each in found["wide"]]
    lines += [f"leads nowhere: {each}" for each in found["broken"]]
    lines += [f"was fetched: {each}" for each in found["loaded"]]
    for name in ("unreachable", "ids", "scripts"):
        if found[name]:
            lines.append(f"{name}: {found[name]}, wanted 0")
    return lines


def main(folders: list[str]) -> int:
    """Checks the reports of run folders, or of a small run; returns the exit code."""
    program = browser()
    kept = Path("runs") / "check_report"
    kept.mkdir(parents=True, exist_ok=True)
    code = 0
    for folder in [Path(each) for each in folders] or [small_run(kept)]:
        report = folder / "report.html"
        page = html.escape(report.read_text(encoding="utf-8"))
        frames = "".join(
            f'<iframe style="border:0;width:{w}px;height:2000px" srcdoc="{page}"></iframe>'
            for w in WIDTHS
        )
        harness = folder / "check_report.html"
        harness.write_text(HARNESS.replace("FRAMES", frames), encoding="utf-8")
        document, console = look(program, harness, "--window-size=1400,2000", "--dump-dom")
        console += look(program, report, "--dump-dom")[1]
        [text] = re.findall(r'<pre id="found">(.+?)</pre>', document, re.DOTALL)
        images = len(list(folder.glob("figures/*.png")))
        problems = [f"console: {line}" for line in console]
        for found in json.loads(html.unescape(text)):
            problems += [f"at {found['width']} px: {line}" for line in faults(found, images)]
        for name, shown, scheme in (
            ("light", report, 1),
            ("dark", report, 0),
            ("frames", harness, 1),
        ):
            shot = f"--screenshot={(folder / f'report-{name}.png').absolute()}"
            colours = f"--blink-settings=preferredColorScheme={scheme}"
            look(program, shown, shot, colours, f"--window-size={sum(WIDTHS) + 40},2400")
        harness.unlink()
        print(f"{report}: " + ("; ".join(problems) or "as it should be"))
        code |= bool(problems)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
