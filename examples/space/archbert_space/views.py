"""Results as HTML. Every text of a user or of a network is cleaned of control characters and escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence

from archbert.description import short
from archbert.index import Hit
from processing_archbert.graph_labels_archbert import clean

from .networks import Network
from .results import CANNOT_TELL, COMPUTED, PREDICTED, Result, Score

MAX_TEXT = 4_000
_SHOWN_EVIDENCE = 4
_TOOLS = (
    ("in", "Zoom in", "M8 3v10M3 8h10"),
    ("out", "Zoom out", "M3 8h10"),
    ("fit", "Fit", "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3M6 8h4"),
    ("full", "Full screen", "M9.5 6.5 13 3M9.5 3H13v3.5M6.5 9.5 3 13M6.5 13H3V9.5"),
)
"""Buttons of a drawing: what `viewer.js` does, its title, and a path on 16 by 16 units."""
_BASES = {
    COMPUTED: ("computed", "Read off the graph; exact."),
    PREDICTED: ("predicted", "Said by the trained model; it can be wrong."),
    CANNOT_TELL: ("cannot tell", "The graph does not show it."),
}


def text(value: object, limit: int = MAX_TEXT) -> str:
    """A text for HTML: on one line, without control characters, escaped; the beginning is kept of what is too long."""
    plain = clean(str(value), max(limit, len(str(value))))
    return html.escape(plain if len(plain) <= limit else f"{plain[: limit - 1]}\u2026")


def result_card(result: Result) -> str:
    """The answer of a task."""
    parts = [_head(result)]
    parts += [_meter(score) for score in result.scores]
    if result.lines:
        parts.append(f'<ul class="ab-lines">{"".join(f"<li>{text(line)}</li>" for line in result.lines)}</ul>')
    parts += [_evidence(result, number) for number in range(len(result.networks))]
    if result.facts:
        rows = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in result.facts)
        parts.append(f'<table class="ab-facts">{rows}</table>')
    parts += [_notes(network) for network in result.networks]
    return f'<section class="ab-card ab-{result.tone}" role="status">{"".join(parts)}</section>'


def _head(result: Result) -> str:
    label, meaning = _BASES[result.basis]
    size = " ab-long" if len(result.headline) > 60 else ""
    return (
        f'<header><div class="ab-headline{size}">{text(result.headline)}</div>'
        f'<span class="ab-basis ab-{result.basis}" title="{text(meaning)}">{label}</span></header>'
    )


def _meter(score: Score) -> str:
    def share(value: float) -> str:
        return f"{100 * (min(max(value, score.low), score.high) - score.low) / (score.high - score.low):.1f}%"

    mark = "" if score.mark is None else f'<i class="ab-mark" style="left:{share(score.mark)}"></i>'
    return (
        f'<div class="ab-meter"><span>{text(score.name, 120)}</span><b>{score.value:.2f}</b>'
        f'<div class="ab-bar"><i style="width:{share(score.value)}"></i>{mark}</div></div>'
    )


def _evidence(result: Result, number: int) -> str:
    names = result.evidence(number)
    if not names:
        return ""
    shown = "".join(f"<code>{text(name, 80)}</code>" for name in names[:_SHOWN_EVIDENCE])
    more = f"<span>and {len(names) - _SHOWN_EVIDENCE:,} more</span>" if len(names) > _SHOWN_EVIDENCE else ""
    of = f" in {text(result.networks[number].name, 60)}" if len(result.networks) > 1 else ""
    return f'<div class="ab-evidence"><span>Shown by{of}</span>{shown}{more}</div>'


def _notes(network: Network) -> str:
    incomplete = [f"The graph of {network.name} misses {', '.join(network.graph.incomplete)}."]
    notes = [*(incomplete if network.graph.incomplete else []), *network.notes]
    return "".join(f'<p class="ab-note">{text(note)}</p>' for note in notes)


def error_card(message: str) -> str:
    """What cannot be done, and why."""
    return (
        '<section class="ab-card ab-error" role="alert"><header><div class="ab-headline">That did not work</div>'
        f"</header><p>{text(message)}</p></section>"
    )


def network_line(network: Network) -> str:
    """A network that was read, on one line."""
    graph = network.graph
    counts = f"{graph.num_nodes:,} nodes \u00b7 {short(graph.num_parameters)} parameters"
    return f'<p class="ab-read"><b>{text(network.name, 60)}</b> {counts}</p>{_notes(network)}'


def error_line(message: str) -> str:
    """Why a network cannot be read, under the field where it was given."""
    return f'<p class="ab-read ab-unread" role="alert">{text(message)}</p>'


def picture(svg: str, caption: str = "") -> str:
    """A drawing that can be moved and zoomed; `svg` is made by this library, which escapes what is in it."""
    tools = "".join(
        f'<button type="button" data-zoom="{action}" title="{title}" aria-label="{title}">'
        f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{path}"/></svg></button>'
        for action, title, path in _TOOLS
    )
    return (
        f'<figure class="ab-view"><div class="ab-top"><figcaption>{text(caption)}</figcaption>'
        f'<div class="ab-tools">{tools}</div></div><div class="ab-stage" tabindex="0" role="group" '
        f'aria-label="Drawing; drag to move it, Ctrl and wheel to zoom">{svg}</div></figure>'
    )


def no_picture(message: str) -> str:
    """Why there is no drawing."""
    return f'<figure class="ab-view ab-empty"><p>{text(message)}</p></figure>'


def placeholder(message: str) -> str:
    """What stands where a drawing will be."""
    boxes = '<rect x="24" y="4" width="52" height="16" rx="4"/><rect x="4" y="36" width="40" height="16" rx="4"/>'
    boxes += '<rect x="56" y="36" width="40" height="16" rx="4"/><rect x="24" y="68" width="52" height="16" rx="4"/>'
    lines = '<path d="M44 20 28 36M56 20 72 36M28 52 44 68M72 52 56 68"/>'
    icon = f'<svg viewBox="0 0 100 88" width="76" aria-hidden="true">{lines}{boxes}</svg>'
    return f'<figure class="ab-view ab-empty">{icon}<p>{text(message)}</p></figure>'


def hits_card(hits: Sequence[Hit], size: int) -> str:
    """The networks that a search found."""
    if not hits:
        return (
            '<section class="ab-card ab-neutral" role="status"><header><div class="ab-headline">Nothing fits</div>'
            f"</header><p>None of the {size:,} networks of the index passes the filter.</p></section>"
        )
    rows = "".join(_hit(number, hit) for number, hit in enumerate(hits, 1))
    basis = f'<span class="ab-basis ab-predicted" title="{text(_BASES[PREDICTED][1])}">predicted</span>'
    return (
        f'<section class="ab-card ab-neutral" role="status"><header><div class="ab-headline">Nearest of {size:,} '
        f'networks</div>{basis}</header><ol class="ab-hits">{rows}</ol></section>'
    )


def _hit(number: int, hit: Hit) -> str:
    family, count = text(hit.facts.get("family", ""), 40), short(int(hit.facts.get("parameters") or 0))
    aliases = f" <small>= {text(', '.join(hit.aliases[:3]), 90)}</small>" if hit.aliases else ""
    caption = f"<p>{text(hit.caption, 180)}</p>" if hit.caption else ""
    fits = "" if hit.fits is None else f" \u00b7 fits {hit.fits:.0%} of the text"
    return (
        f'<li><span class="ab-rank">{number}</span><div><b>{text(hit.name, 60)}</b>{aliases}'
        f"<small>{family} \u00b7 {count} parameters{fits}</small>{caption}</div>"
        f'<span class="ab-score" title="cosine of the two embeddings">{hit.score:.2f}</span></li>'
    )
