"""Precision over recall and the ranks of hits, drawn as SVG that takes light or dark colours from whoever shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castsearch.metrics import Evaluation, PrecisionRecall, RankHistogram, precision_recall, rank_histograms
from castsearch.movies.formats.text import plain
from castsearch.stagefiles import atomic_write

_WIDTH, _PLOT_WIDTH, _PLOT_HEIGHT = 720, 620, 300  # units: the whole, and what the axes enclose
_LEFT, _TOP = 70, 94  # units: of the plot's corner
_ROW = 22  # units a row of the legend
_LONGEST = 48  # letters of a name in the legend; the whole is told where the pointer rests
_TICKS = 5
_BAR = 0.92  # share of its step that a bar is wide
_GAP = 0.2  # of a bin's width, between its bars and the next one's

# In the light and in the dark; each series has another line, too, for those who cannot tell the colours apart.
_SERIES = (
    ("#1f5fa8", "#79b8ff", "none"),
    ("#b3500a", "#ffab70", "8 4"),
    ("#1a7f37", "#56d364", "2 3"),
    ("#8250df", "#d2a8ff", "10 3 2 3"),
    ("#bf2c6b", "#ff8fb8", "5 2"),
    ("#0b7285", "#4fd1e0", "14 4"),
)

_TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ width }} {{ height }}" width="{{ width }}" \
height="{{ height }}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>{{ chart.title }}</title>
<desc>{{ chart.about }}</desc>
<style>
.ground { fill: #ffffff; } .grid { stroke: #d8dce0; } .axis { stroke: #59636e; }
text { fill: #1f2328; } text.small { fill: #59636e; font-size: 12px; } text.title { font-size: 17px; font-weight: 600; }
polyline { fill: none; stroke-width: 2.5; }
{% for light, dark, dashes in series %}
.line{{ loop.index0 }} { stroke: {{ light }}; stroke-dasharray: {{ dashes }}; } \
.bar{{ loop.index0 }} { fill: {{ light }}; }
{% endfor %}
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; } .grid { stroke: #343b44; } .axis { stroke: #9198a1; }
text { fill: #e6edf3; } text.small { fill: #9198a1; }
{% for light, dark, dashes in series %}
.line{{ loop.index0 }} { stroke: {{ dark }}; } .bar{{ loop.index0 }} { fill: {{ dark }}; }
{% endfor %}
}
</style>
<rect class="ground" width="{{ width }}" height="{{ height }}"/>
<text class="title" x="20" y="30">{{ chart.title }}</text>
<text class="small" x="20" y="50">{{ chart.subtitle }}</text>
{% for y, words in chart.y_ticks %}
<line class="{{ 'axis' if loop.first else 'grid' }}" x1="{{ left }}" x2="{{ right }}" y1="{{ y }}" y2="{{ y }}"/>
<text class="small" x="{{ left - 8 }}" y="{{ y + 4 }}" text-anchor="end">{{ words }}</text>
{% endfor %}
{% for x, words in chart.x_ticks %}
<text class="small" x="{{ x }}" y="{{ bottom + 18 }}" text-anchor="middle">{{ words }}</text>
{% endfor %}
<text class="small" x="{{ (left + right) / 2 }}" y="{{ bottom + 40 }}" text-anchor="middle">{{ chart.x_name }}</text>
<text class="small" x="20" y="{{ top - 12 }}">{{ chart.y_name }}</text>
{% for bar in chart.bars %}
<rect class="bar{{ bar.look }}" x="{{ bar.x }}" y="{{ bar.y }}" width="{{ bar.width }}" \
height="{{ bar.height }}"><title>{{ bar.about }}</title></rect>
{% endfor %}
{% for line in chart.lines %}
<polyline class="line{{ line.look }}" points="{{ line.points }}"><title>{{ line.about }}</title></polyline>
{% endfor %}
{% for row in chart.legend %}
{% if chart.bars %}
<rect class="bar{{ row.look }}" x="{{ left }}" y="{{ row.y - 6 }}" width="28" height="12"/>
{% else %}
<polyline class="line{{ row.look }}" points="{{ left }},{{ row.y }} {{ left + 28 }},{{ row.y }}"/>
{% endif %}
<text x="{{ left + 38 }}" y="{{ row.y + 4 }}">{{ row.name }}<title>{{ row.whole }}</title></text>
{% endfor %}
</svg>
"""


@dataclass(frozen=True)
class _Line:
    look: int
    points: str
    about: str


@dataclass(frozen=True)
class _Bar:
    look: int
    x: float
    y: float
    width: float
    height: float
    about: str


@dataclass(frozen=True)
class _Row:
    """Of the legend."""

    look: int
    y: float
    name: str
    whole: str


@dataclass(frozen=True)
class _Chart:
    title: str
    subtitle: str
    about: str
    x_name: str
    y_name: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    legend: Sequence[_Row]
    lines: Sequence[_Line] = ()
    bars: Sequence[_Bar] = ()


def write_curves(evaluations: Mapping[str, Evaluation], folder: Path) -> list[Path]:
    """Draw submissions beside each other.

    Args:
        evaluations: by the name of each submission, over the same casts.
        folder: receives ``precision_recall.svg``, ``first_hits.svg`` and ``hits.svg``.

    Raises:
        StageFileError: there is no writing there.
    """
    drawn = {
        "precision_recall.svg": precision_recall_svg(evaluations),
        "first_hits.svg": first_hits_svg(evaluations),
        "hits.svg": hits_svg(evaluations),
    }
    for name, text in drawn.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in drawn]


def precision_recall_svg(evaluations: Mapping[str, Evaluation]) -> str:
    """The curves of ``metrics.precision_recall``.

    Args:
        evaluations: by the name of each submission.
    """
    curves = {name: precision_recall(one) for name, one in evaluations.items()}
    legend = {name: f": mAP {100 * one.mean_ap:.2f}" for name, one in evaluations.items()}
    told = [f"{plain(name)}{legend[name]}, {_some_points(curve)}" for name, curve in curves.items()]
    lines = [
        _Line(_look(number), " ".join(_points(curve)), line)
        for number, (curve, line) in enumerate(zip(curves.values(), told, strict=True))
    ]
    ticks = [n / _TICKS for n in range(_TICKS + 1)]
    return _svg(
        _Chart(
            title="Precision over recall",
            subtitle=f"Interpolated precision, mean over {_casts(evaluations)}",
            about="; ".join(told),
            x_name="Recall, %",
            y_name="Precision, %",
            x_ticks=[(_round(_LEFT + _PLOT_WIDTH * share), f"{100 * share:g}") for share in ticks],
            y_ticks=_y_ticks(1.0),
            legend=_legend(legend),
            lines=lines,
        )
    )


def _points(curve: PrecisionRecall) -> Iterator[str]:
    for recall, precision in zip(curve.recall.tolist(), curve.precision.tolist(), strict=True):
        yield f"{_round(_LEFT + _PLOT_WIDTH * recall)},{_y(precision)}"


def _some_points(curve: PrecisionRecall) -> str:
    some = ", ".join(f"{100 * curve.precision[at]:.0f} at {at}" for at in (0, 25, 50, 75, 100))
    return f"precision at recall in percent: {some}"


def first_hits_svg(evaluations: Mapping[str, Evaluation]) -> str:
    """At which ranks the casts' first hits stand, by ``metrics.rank_histograms``.

    Args:
        evaluations: by the name of each submission.
    """
    first, _ = rank_histograms([*evaluations.values()])
    return _histogram_svg(evaluations, first, "Rank of the first hit", "The best true candidate", "casts", "none")


def hits_svg(evaluations: Mapping[str, Evaluation]) -> str:
    """At which ranks all hits of all casts stand, by ``metrics.rank_histograms``.

    Args:
        evaluations: by the name of each submission.
    """
    _, every = rank_histograms([*evaluations.values()])
    return _histogram_svg(evaluations, every, "Ranks of all hits", "All true candidates", "true candidates", "none")


def _histogram_svg(
    evaluations: Mapping[str, Evaluation],
    histograms: Sequence[RankHistogram],
    title: str,
    whose: str,
    of: str,
    never: str,
) -> str:
    names = [*histograms[0].names, never]
    counts = {name: [*one.count.tolist(), one.never] for name, one in zip(evaluations, histograms, strict=True)}
    totals = {name: sum(own) for name, own in counts.items()}
    highest = max(max(own) / totals[name] for name, own in counts.items())
    top = next(step for step in (0.1, 0.2, 0.5, 1.0) if step >= highest)
    told = [
        f"{plain(name)}: " + ", ".join(f"{bin_name}: {count:,}" for bin_name, count in zip(names, own, strict=True))
        for name, own in counts.items()
    ]
    slot = _PLOT_WIDTH / len(names)
    ticks = [*(f"{last:,}" for last in histograms[0].last.tolist()), never]
    return _svg(
        _Chart(
            title=title,
            subtitle=f"{whose} of {_casts(evaluations)}",
            about=f"How many {of} by rank. " + "; ".join(told),
            x_name="Rank, up to",
            y_name=f"Share of {of}, %",
            x_ticks=[(_round(_LEFT + slot * (at + 0.5)), words) for at, words in enumerate(ticks)],
            y_ticks=_y_ticks(top),
            legend=_legend(dict.fromkeys(evaluations, "")),
            bars=[*_bars(counts, names, top, of)],
        )
    )


def _bars(counts: Mapping[str, Sequence[int]], names: Sequence[str], top: float, of: str) -> Iterator[_Bar]:
    slot = _PLOT_WIDTH / len(names)
    step = slot * (1 - _GAP) / len(counts)
    for number, (name, own) in enumerate(counts.items()):
        for at, count in enumerate(own):
            share = count / sum(own)
            x, y = _LEFT + slot * (at + _GAP / 2) + step * number, _y(share / top)
            about = f"{plain(name)}, {names[at]}: {count:,} of {sum(own):,} {of} ({100 * share:.1f} %)"
            yield _Bar(_look(number), _round(x), y, _round(step * _BAR), _round(_TOP + _PLOT_HEIGHT - y), about)


# ---------------------------------------------------------------------------- what charts share


def _casts(evaluations: Mapping[str, Evaluation]) -> str:
    counts = {len(one.casts) for one in evaluations.values()}
    return f"{min(counts):,} cast{'s' * (min(counts) != 1)}"


def _look(number: int) -> int:
    return number % len(_SERIES)


def _y(share: float) -> float:
    return _round(_TOP + _PLOT_HEIGHT * (1 - share))


def _round(number: float) -> float:
    return round(number, 1)


def _y_ticks(top: float) -> list[tuple[float, str]]:
    return [(_y(n / _TICKS), f"{100 * top * n / _TICKS:g}") for n in range(_TICKS + 1)]


def _legend(told: Mapping[str, str]) -> list[_Row]:
    """A row a submission: its name and a word on it."""
    start = _TOP + _PLOT_HEIGHT + 68
    return [
        _Row(_look(number), start + _ROW * number, f"{_cut(plain(name))}{words}", plain(name))
        for number, (name, words) in enumerate(told.items())
    ]


def _cut(name: str) -> str:
    """
    >>> _cut("a" * 100) == "a" * 23 + "…" + "a" * 24
    True
    """
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2 - 1]}…{name[-_LONGEST // 2 :]}"


def _svg(chart: _Chart) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    values: dict[str, Any] = {
        "chart": chart,
        "series": _SERIES,
        "width": _WIDTH,
        "height": round(chart.legend[-1].y + _ROW),
        "left": _LEFT,
        "right": _LEFT + _PLOT_WIDTH,
        "top": _TOP,
        "bottom": _TOP + _PLOT_HEIGHT,
    }
    return environment.from_string(_TEMPLATE).render(values) + "\n"
