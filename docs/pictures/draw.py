"""Draws the pictures of docs/balances.md, from what the service's own statistics say: `make pictures`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from projections.statistics import Looks, jeffreys, split, wide_band

HERE = Path(__file__).parent
STYLE = """\
<style>
  svg { background: #fdfdfb; font: 14px system-ui, sans-serif; fill: #1c2126 }
  .soft { fill: #4d565f } .line { stroke: #8a949c; stroke-width: 1 } .wide { fill: #d3e3ee } .band { fill: #7fb2d3 }
  .dot { fill: #0b5a8a } .curve { fill: none; stroke: #0b5a8a; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    svg { background: #14171a; fill: #e6e8e4 } .soft { fill: #b0b7bd } .line { stroke: #69727a }
    .wide { fill: #22384a } .band { fill: #34658a } .dot { fill: #a9d6f5 } .curve { stroke: #a9d6f5 }
  }
</style>
"""
# Occasions of me and of the partner, in a window of 28 days in which the log is older than the window.
READINGS = ((5, 2), (9, 3), (17, 3), (18, 2), (19, 1), (30, 10), (25, 25), (68, 68))
# The same on every seventh day; None is a window in which nothing was told.
MOVING = ((10, 10), (12, 9), (14, 9), None, None, (15, 7), (17, 7), (18, 2), (20, 4), (22, 4), (25, 5), (26, 4))
LEFT, WIDTH, ROW = 220, 360, 34


def readings() -> str:
    """Splits below each other: counts, interval, share, and the reading in words."""
    looks = Looks(window=28, one_domain=False, from_first_day=False)
    rows = [_row(index, me, partner, looks) for index, (me, partner) in enumerate(READINGS)]
    height = ROW * (len(READINGS) + 2)
    axis = "".join(_tick(share, height) for share in (0, 0.25, 0.5, 0.75, 1))
    ends = _text(LEFT, ROW - 14, "0: partner", "soft") + _text(LEFT + WIDTH - 34, ROW - 14, "1: me", "soft")
    told = "Occasions of me and partner, the interval of the share where there is one, and the reading"
    return _svg(760, height, told, [axis, ends, *rows])


def _row(index: int, me: int, partner: int, looks: Looks) -> str:
    found = split({"me": me, "partner": partner}, me, partner, looks)
    y = ROW * (index + 1) + 16
    drawn = [_text(16, y + 5, f"{me} : {partner}"), _text(90, y + 5, f"n = {found.n}", "soft")]
    if found.low is not None and found.high is not None:
        drawn.append(_box(found.low, found.high, y - 7, 14, "band"))
    if found.share is not None:
        drawn.append(f'<circle class="dot" cx="{_x(found.share)}" cy="{y}" r="5"/>\n')
    return "".join(drawn) + _text(LEFT + WIDTH + 20, y + 5, str(found.reading))


def trend() -> str:
    """A share as it moves: the interval, the wide band around it, and gaps that stay gaps."""
    step, bottom, height = 44, 250, 300
    bands: list[str] = []
    curves: list[str] = []
    run: list[tuple[float, float]] = []
    for index, pair in enumerate([*MOVING, None]):
        if pair is None:
            curves += [_curve(run)] if run else []
            run = []
            continue
        x, (me, partner) = 60 + step * index, pair
        band = wide_band(me, partner)
        assert band is not None
        for (low, high), kind in ((band, "wide"), (jeffreys(me, partner), "band")):
            top, end = bottom - 200 * high, bottom - 200 * low
            bands.append(f'<rect class="{kind}" x="{x - 14}" y="{top:.1f}" width="28" height="{end - top:.1f}"/>\n')
        if me + partner >= 20:
            run.append((x, bottom - 200 * me / (me + partner)))
    lines = "".join(
        f'<line class="line" x1="36" x2="590" y1="{bottom - 200 * share:.0f}" y2="{bottom - 200 * share:.0f}"/>\n'
        + _text(8, bottom - 200 * share + 5, f"{share:g}", "soft")
        for share in (0, 0.5, 1)
    )
    told = "A share on every seventh day: in the dark band the 95 % interval, in the light one the wide band"
    under = _text(60, 285, "every seventh day; twice nothing was told", "soft")
    return _svg(610, height, told, [lines, *bands, *curves, under])


def _curve(points: Sequence[tuple[float, float]]) -> str:
    dots = "".join(f'<circle class="dot" cx="{x}" cy="{y:.1f}" r="4"/>\n' for x, y in points)
    path = " ".join(f"{x},{y:.1f}" for x, y in points)
    return f'<polyline class="curve" points="{path}"/>\n{dots}'


def _x(share: float) -> str:
    return f"{LEFT + WIDTH * share:.1f}"


def _box(low: float, high: float, y: int, height: int, kind: str) -> str:
    return f'<rect class="{kind}" x="{_x(low)}" y="{y}" width="{WIDTH * (high - low):.1f}" height="{height}" rx="3"/>\n'


def _tick(share: float, height: int) -> str:
    return f'<line class="line" x1="{_x(share)}" x2="{_x(share)}" y1="{ROW}" y2="{height - ROW}"/>\n'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{named}>{text}</text>\n'


def _svg(width: int, height: int, told: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<title>{told}</title>\n'
    return f"{head}{STYLE}{''.join(parts)}</svg>\n"


def pictures() -> Iterator[tuple[Path, str]]:
    """Each picture, and where it stands."""
    yield HERE / "readings.svg", readings()
    yield HERE / "trend.svg", trend()


if __name__ == "__main__":
    for path, text in pictures():
        path.write_text(text)
