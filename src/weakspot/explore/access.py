"""Who may use the explorer: pages that this server itself sent to a browser on this computer, with the secret token.

A page of another site that is open in the same browser can send requests to this computer too.  It does not know the token;
its requests carry its own Origin; and if it makes its name point to this computer, they carry that name as Host.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Access:
    """Checks requests.

    Attributes:
        port: of the server.
        token: the secret.
    """

    port: int
    token: str

    @property
    def address(self) -> str:
        """The address to open."""
        return f"http://{LOOPBACK[0]}:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token after the first request; browsers share cookies between ports."""
        return f"weakspot-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser may call this server."""
        return tuple(f"{name}:{self.port}" for name in LOOPBACK)

    def allows(self, headers: Mapping[str, str], cookies: Mapping[str, str], token: str, *, origin_needed: bool) -> bool:
        """Whether a request may be answered.

        Args:
            headers: of the request, by their names in lower case.
            cookies: of the request.
            token: from the address, or empty.
            origin_needed: whether browsers always send the Origin of such a request, as with WebSockets.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        own_origin = (origin is None and not origin_needed) or origin == f"http://{host}"
        given = token or cookies.get(self.cookie, "")
        return host in self.hosts and own_origin and secrets.compare_digest(given.encode(), self.token.encode())


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)
