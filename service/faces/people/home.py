"""The page `/`: what is served and how each endpoint is called, as HTML for browsers and as text for curl."""

from html import escape
from pathlib import Path
from shlex import quote

from service import __version__
from service.invoke.catalogue import EndpointCard, ModelCard, VariantCard

MOST_SHOWN = 200
"""How many endpoints pages for people show: nobody reads ten thousand, and no browser likes to draw them."""

_TEMPLATE = Path(__file__).parent / "static" / "home.html"
_FAILED = "failed"
_UNKNOWN_INPUT = " -H 'Content-Type: text/csv' --data-binary @input.csv"


def curl_line(card: EndpointCard, host: str) -> str:
    """The curl command that calls an endpoint: with its example request, or a file where none is known."""
    example, target = card.example, card.models[0] if card.models else None
    if example is not None:
        target = example.target_model
    headers = [] if target is None else [f"X-Amzn-SageMaker-Target-Model: {target}"]
    headers += [f"X-Amzn-SageMaker-Target-Container-Hostname: {name}" for name in card.containers[:1]]
    if example is not None:
        headers.insert(0, f"Content-Type: {example.content_type}")
    options = "".join(f" -H {quote(header)}" for header in headers)
    body = _UNKNOWN_INPUT if example is None else f" -d {quote(example.body.strip(chr(10)))}"
    return f"curl {host}/endpoints/{quote(card.name)}/invocations{options}{body}"


def home_text(cards: list[EndpointCard], notices: list[str], host: str) -> str:
    """The page for who reads it on a terminal."""
    shown, more = cards[:MOST_SHOWN], _more(cards)
    count = f"more than {MOST_SHOWN}" if more else str(len(cards))
    lines = [f"sagebird {__version__} serves {count} endpoints. Docs: {host}/docs", ""]
    lines += [*notices, ""] if notices else []
    for card in shown:
        shares = ", ".join(f"{v.name} {v.share:.0%} ({v.model})" for v in card.variants if not v.pending)
        lines.append(f"{card.name}{' (default)' if card.default else ''}: {card.status}: {shares}")
        if card.failure_reason:
            lines.append(f"  {card.failure_reason}")
        if card.models:
            lines.append(f"  models: {', '.join(card.models)}")
        if card.example is not None:
            lines.append("  " + curl_line(card, host))
        lines.append("")
    return "\n".join([*lines, more, ""] if more else lines)


def home_page(cards: list[EndpointCard], models: list[ModelCard], notices: list[str], host: str) -> str:
    """The page for browsers."""
    failed = [model for model in models if model.state == _FAILED]
    parts = [f'<p class="notice" role="alert">{escape(notice)}</p>' for notice in notices]
    parts += [_section(card, host) for card in cards[:MOST_SHOWN]]
    parts += [f'<p class="notice">{_more(cards)}</p>'] if _more(cards) else []
    parts += [] if parts else ["<p>No endpoint is declared yet.</p>"]
    parts += [_failed_models(failed)] if failed else []
    return _TEMPLATE.read_text(encoding="utf-8").format(
        version=escape(__version__), host=escape(host), count=_counted(cards), sections="\n".join(parts)
    )


def _counted(cards: list[EndpointCard]) -> str:
    failed = sum(card.status == "Failed" for card in cards[:MOST_SHOWN])
    count = f"More than {MOST_SHOWN}" if _more(cards) else str(len(cards))
    text = f"{count} endpoint{'' if count == '1' else 's'}"
    return f'{text}, <strong class="bad">{failed} failed</strong>' if failed else text


def _more(cards: list[EndpointCard]) -> str:
    """What a page says of those that it leaves out, "" if there are none."""
    left_out = len(cards) > MOST_SHOWN
    return (
        f"Only {MOST_SHOWN} endpoints are shown here; /status and ListEndpoints have all." if left_out else ""
    )


def _section(card: EndpointCard, host: str) -> str:
    default = ' <span class="tag">default</span>' if card.default else ""
    reason = f'<p class="bad">{escape(card.failure_reason)}</p>' if card.failure_reason else ""
    rows = "".join(_row(variant) for variant in card.variants)
    status = escape(card.status)
    return (
        f'<section class="{"failed" if card.status == "Failed" else "endpoint"}">'
        f'<h2>{escape(card.name)}{default} <span class="tag {status}">{status}</span>'
        f"</h2>{reason}"
        "<table><thead><tr><th>Variant</th><th>Model</th><th>Weight</th><th>Share</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{_callable_models(card)}{_call(card, host)}</section>"
    )


def _row(variant: VariantCard) -> str:
    coming = " <em>(coming)</em>" if variant.pending else ""
    return (
        f"<tr><td>{escape(variant.name)}{coming}</td><td>{escape(variant.model)}</td>"
        f'<td class="number">{variant.weight:g}</td><td class="number">{variant.share:.0%}'
        f'<meter value="{variant.share:.4f}" aria-hidden="true"></meter></td></tr>'
    )


def _callable_models(card: EndpointCard) -> str:
    if not card.models:
        return ""
    names = " ".join(f"<code>{escape(name)}</code>" for name in card.models)
    return f'<p class="models">Target models: {names}</p>'


def _call(card: EndpointCard, host: str) -> str:
    """The command with its button; a failed endpoint answers no call."""
    if card.status == "Failed":
        return ""
    unknown = (
        ""
        if card.example is not None
        else (
            '<p class="hint">This model has no example request: put input into <code>input.csv</code>, or an '
            "<code>example.csv</code> or <code>example.json</code> beside the model.</p>"
        )
    )
    return (
        f'<div class="call"><pre><code>{escape(curl_line(card, host))}</code></pre>'
        f'<button type="button" class="copy" hidden>Copy</button></div>{unknown}'
    )


def _failed_models(models: list[ModelCard]) -> str:
    rows = "".join(
        f'<tr><td>{escape(model.name)}</td><td class="bad">{escape("; ".join(model.notes))}</td></tr>'
        for model in models
    )
    return (
        '<section class="failed"><h2>Models that cannot be loaded <span class="tag Failed">Failed</span></h2>'
        f"<table><thead><tr><th>Model</th><th>Why</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )
