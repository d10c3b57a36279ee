"""The page: one document with its style and its program in it, which loads nothing else.

What compares pictures is that of reports (`report.page`).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from srup.report.page import asset


@cache
def page() -> tuple[str, str]:
    """The page as HTML, and the Content-Security-Policy that allows what is in it alone."""
    css = asset("page.css") + _asset("page.css")
    js = asset("viewer.js") + _asset("page.js")
    html = _asset("page.html").replace("/*css*/", css).replace("/*js*/", js)
    rules = (
        *("default-src 'none'", "img-src blob: data:", "connect-src 'self'"),
        *(f"style-src {_hashed(css)}", f"script-src {_hashed(js)}"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    )
    return html, "; ".join(rules)


def _asset(name: str) -> str:
    return resources.files("srup.serve").joinpath(name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    """What a policy calls an inline element by its content."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
