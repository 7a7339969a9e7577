"""What a node shows of itself by HTTP: /healthz, /readyz, /metrics, a page with buttons, and STOW-RS in."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from scanweave.errors import Code, EnvironmentFailure, Problem, ScanweaveError
from scanweave.pipeline.node.config import Web, is_loopback
from scanweave.pipeline.node.metrics import CONTENT_TYPE
from scanweave.pipeline.node.page import render_login, render_page
from scanweave.pipeline.node.stow_in import receive_stow
from scanweave.pipeline.node.watch import Watch

COOKIE = "scanweave_session"
OWN_HEADER = "x-scanweave"
"""Of every request that changes something: a form on somebody else's page cannot send it."""
STOP_S = 10.0
Handler = Callable[[Request], Awaitable[Response]]


class WebServer:
    """Serves in a thread of its own from `start` to `stop`."""

    def __init__(self, config: Web, watch: Watch) -> None:
        self.config, self.watch = config, watch
        self._token = _token(config)
        self._session = secrets.token_urlsafe(32)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(self._app(), log_config=None, access_log=False, lifespan="off", server_header=False)
        )

    @property
    def port(self) -> int:
        """Where it listens; the system's choice where the configuration says 0."""
        return int(self._socket.getsockname()[1]) if self._socket else self.config.port

    def start(self) -> None:
        """Listen; EnvironmentFailure, LISTEN_FAILED, where that is not possible."""
        try:
            self._socket = socket.create_server((self.config.host, self.config.port))
        except OSError as error:
            message = f"cannot listen for HTTP at {self.config.host}:{self.config.port} ({error.strerror})"
            raise EnvironmentFailure(Problem(Code.LISTEN_FAILED, message)) from error
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True, name="web")
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, and no more."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _app(self) -> Starlette:
        routes = [
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
            Route("/metrics", self._known(self._metrics)),
            Route("/", self._page),
            Route("/login", self._login, methods=["POST"]),
            Route("/report/{study}", self._known(self._report)),
            Route("/api/state", self._known(self._state)),
            Route("/api/{action}", self._known(self._act), methods=["POST"]),
        ]
        if self.config.stow:
            routes.append(Route("/dicom-web/studies", self._known(self._stow), methods=["POST"]))
        return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=self._hosts())])

    def _hosts(self) -> list[str]:
        """A page that lets its name lead to loopback must not read what is here (DNS rebinding)."""
        known = ["localhost", "127.0.0.1", "::1", "[::1]", *self.config.hosts]
        return [*known, self.config.host] if is_loopback(self.config.host) or self.config.hosts else ["*"]

    def _known(self, handler: Handler) -> Handler:
        """Only for who has the word, or where none is wanted."""

        async def checked(request: Request) -> Response:
            if not self._is_known(request):
                return PlainTextResponse("who are you?", 401, {"WWW-Authenticate": "Bearer"})
            return await handler(request)

        return checked

    def _is_known(self, request: Request) -> bool:
        if self._token is None:
            return True
        word = request.headers.get("authorization", "").removeprefix("Bearer ")
        session = request.cookies.get(COOKIE, "")
        return _same(word, self._token) or _same(session, self._session)

    async def _health(self, request: Request) -> Response:
        return _plainly(await run_in_threadpool(self.watch.ailments))

    async def _ready(self, request: Request) -> Response:
        return _plainly(await run_in_threadpool(self.watch.obstacles))

    async def _metrics(self, request: Request) -> Response:
        return Response(await run_in_threadpool(self.watch.metrics_text), media_type=CONTENT_TYPE)

    async def _page(self, request: Request) -> Response:
        body, policy = render_page() if self._is_known(request) else render_login()
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
                   "Referrer-Policy": "no-referrer"}  # fmt: skip
        return Response(body, media_type="text/html", headers=headers)

    async def _login(self, request: Request) -> Response:
        given = (await request.body())[:1000].decode(errors="replace")
        if OWN_HEADER not in request.headers or self._token is None or not _same(given.strip(), self._token):
            self.watch.note("login refused", client=request.client.host if request.client else "")
            return PlainTextResponse("no", 401)
        answer = PlainTextResponse("welcome")
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return answer

    async def _report(self, request: Request) -> Response:
        path = await run_in_threadpool(self.watch.report_of, request.path_params["study"])
        if path is None:
            return PlainTextResponse("no report of that study is here", 404)
        # Its scripts run, but not as ours: they cannot press this page's buttons.
        headers = {"Content-Security-Policy": "sandbox allow-scripts allow-downloads", "Cache-Control": "no-store"}
        return FileResponse(path, media_type="text/html", headers=headers)

    async def _state(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.watch.state), headers={"Cache-Control": "no-store"})

    async def _act(self, request: Request) -> Response:
        if OWN_HEADER not in request.headers:
            return PlainTextResponse(f"the header {OWN_HEADER} is missing", 403)
        try:
            given: Any = json.loads(await request.body() or "{}")
        except ValueError:
            return PlainTextResponse("expected JSON", 400)
        study = str(given.get("study", "")) if isinstance(given, dict) else ""
        try:
            done = await run_in_threadpool(self.watch.act, request.path_params["action"], study)
        except KeyError:
            return PlainTextResponse("no such action", 404)
        except ScanweaveError as refusal:
            return PlainTextResponse(refusal.problems[0].message, 409)
        return JSONResponse({"done": done})

    async def _stow(self, request: Request) -> Response:
        return await receive_stow(request, self.watch.intake, self.config.largest_request_mb * 10**6)


def _plainly(reasons: list[str]) -> Response:
    return JSONResponse({"ok": not reasons, "reasons": reasons}, 503 if reasons else 200)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _token(config: Web) -> str | None:
    if config.token_file is None:
        return None
    try:
        token = config.token_file.read_text().strip()
    except OSError as error:
        message = f"web.token_file cannot be read ({error.strerror})"
        raise EnvironmentFailure(Problem(Code.CONFIG_INVALID, message, config.token_file.name)) from error
    if not token:
        raise EnvironmentFailure(Problem(Code.CONFIG_INVALID, "web.token_file is empty", config.token_file.name))
    return token
