"""What every request passes before anything else: who asks, from where, and by which name.

A page of somebody else's can make a browser send requests here, also under a name of its own that
it lets point to this machine (DNS rebinding). So a request must name this server as it is called,
what changes anything must come from its own page, and where others can reach it, a token is asked
for. Answers tell browsers to let pages do nothing with them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from srup.errors import SrupError
from srup.serve.answers import problem
from srup.serve.limits import ServiceLimits
from srup.serve.problems import Forbidden, TokenMissing
from srup.serve.uploads import drain

HTTP = 80  # the port that URLs need not name
SAFE = ("GET", "HEAD", "OPTIONS")
OPEN = ("/",)  # the page, which asks for the token itself
OURS = ("same-origin", "none")  # none: an address that somebody typed
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost may be any."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bracketed(host: str) -> str:
    """A host as URLs write it: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True)
class Access:
    """Where a server listens, and the token that it demands, if any."""

    host: str
    port: int
    token: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """What requests may call this server; none where it listens on every address."""
        if self.is_everywhere:
            return frozenset()
        hosts = {"127.0.0.1", "localhost", "[::1]", bracketed(self.host.lower())}
        # browsers leave the usual port out
        ports = ("", f":{self.port}") if self.port == HTTP else (f":{self.port}",)
        return frozenset(f"{host}{port}" for host in hosts for port in ports)

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of this machine."""
        return self.host in ("0.0.0.0", "::")

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Raises Forbidden and TokenMissing."""
        host = headers.get("host", "")
        # what has a token cannot be had by a page under another name, which does not know it
        if not self.is_everywhere and host.lower() not in self.names:
            called = " or ".join(sorted(self.names))
            raise Forbidden(f"this server is not called {host[:100]!r}; ask for {called}")
        if method not in SAFE:
            _check_origin(host, headers)
        if self.token is not None and path not in OPEN:
            self._check_token(headers.get("authorization", ""))

    def _check_token(self, given: str) -> None:
        scheme, _, token = given.partition(" ")
        right = hmac.compare_digest(token.strip().encode(), (self.token or "").encode())
        if scheme.lower() != "bearer" or not right:
            about = "a wrong token" if token else "no token"
            raise TokenMissing(f"the request has {about}; this server asks for one", "give {token}")


def _check_origin(host: str, headers: Mapping[str, str]) -> None:
    """Raises Forbidden for what a page of somebody else's sent; programs send neither header."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = (f"http://{host}".lower(), f"https://{host}".lower())  # a proxy may speak TLS
    foreign = origin is not None and origin.lower() not in own
    if foreign or (site is not None and site not in OURS):
        raise Forbidden(f"the request comes from another page ({(origin or site or '')[:100]})")


@dataclass(frozen=True)
class Guard:
    """An ASGI application around another one."""

    app: ASGIApp
    access: Access
    limits: ServiceLimits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = self._guarded(send)
        try:
            self.access.check(scope["method"], scope["path"], Headers(scope=scope))
        except SrupError as error:
            await drain(Request(scope, receive), self.limits)
            await problem(error)(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    def _guarded(self, send: Send) -> Send:
        """Adds headers to every answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", POLICY)
            await send(message)

        return guarded
