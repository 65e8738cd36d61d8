"""What the three example services share: the application with trace, one log line a request, faults and health."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microservices.client import tracing, vigil
from microservices.faults import FaultOrder, Faults, FaultState
from streaming.errors import Unavailable, VigilError
from streaming.settings import Settings, load_settings

log = logging.getLogger(__name__)

SLOW_MS = 300.0
"""A request that takes longer is logged as WARN; normal ones take 5 to 30 ms."""

PULSE_S = 0.2
PULSE_LATE_S = 1.0
"""Five pulses missed: the event loop is blocked and no request is answered."""

QUIET_PATHS = frozenset({"/health", "/faults"})
"""Asked by machines; neither logged nor troubled by faults."""


class Failure(Exception):
    """A request that fails for a reason the service knows; becomes its answer and its log line.

    `status` below 500 is the caller's trouble and logged as WARN, others as ERROR, unless `level` says otherwise.
    """

    def __init__(self, code: str, message: str, status: int, level: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status
        self.level = level or (logging.ERROR if status >= 500 else logging.WARNING)


class Pulse:
    """Shows that the event loop turns; heartbeats are withheld while it does not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    async def run(self) -> None:
        """Beats in the event loop, for ever."""
        while True:
            self._last = self._clock()
            await asyncio.sleep(PULSE_S)

    def alive(self) -> bool:
        """Whether it has beaten lately."""
        return self._clock() - self._last < PULSE_LATE_S


class Context:
    """One running service, as its routes see it."""

    def __init__(self, name: str, slot: int, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.node_id = f"{name}-{slot}"
        self.faults = Faults()
        self.pulse = Pulse()
        self.attached: vigil.Attachment | None = None
        self.started = time.monotonic()

    def flush(self, within_s: float) -> None:
        """Sends the logs that wait."""
        if self.attached:
            self.attached.handler.flush(within_s)


def create_app(context: Context) -> FastAPI:
    """An application with `/health` and `/faults`, to which a service adds its own routes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pulse = asyncio.create_task(context.pulse.run())
        yield
        pulse.cancel()

    app = FastAPI(title=context.name, lifespan=lifespan)
    app.add_middleware(Observed, faults=context.faults)
    app.add_exception_handler(Failure, _answer_failure)

    @app.get("/health")
    async def health() -> dict[str, object]:
        handler = context.attached.handler if context.attached else None
        return {
            "healthy": True,
            "service": context.name,
            "node_id": context.node_id,
            "uptime_s": round(time.monotonic() - context.started, 3),
            "accumulator_connected": bool(handler and handler.connected),
            "logs_waiting": handler.waiting if handler else 0,
        }

    @app.get("/faults")
    async def faults() -> FaultState:
        return context.faults.state

    @app.post("/faults")
    async def change_faults(order: FaultOrder) -> FaultState:
        return context.faults.apply(order, asyncio.get_running_loop(), context.flush)

    return app


async def _answer_failure(request: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, Failure)
    request.scope["vigil.failure"] = failure
    return JSONResponse({"error": {"code": failure.code, "message": failure.message}}, failure.status)


class Observed:
    """Middleware: each request in a span of the caller's trace, with the faults that are on, and one log line."""

    def __init__(self, app: ASGIApp, *, faults: Faults) -> None:
        self._app, self._faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["path"] in QUIET_PATHS:
            await self._app(scope, receive, send)
            return
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with tracing.span(Headers(scope=scope).get(tracing.HEADER), clock=self._faults.clock):
            begun = time.monotonic()
            error: Exception | None = None
            try:
                await self._serve(scope, receive, watch)
            except Exception as raised:  # noqa: BLE001 - whatever a route raises is logged here and answered with 500
                error = raised
                if not status:
                    await _internal_error(scope, receive, watch)
            _log_request(scope, status, (time.monotonic() - begun) * 1000, error)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._faults.state.latency_ms:
            await asyncio.sleep(self._faults.state.latency_ms / 1000)
        if self._faults.fails():
            failure = Failure("INJECTED_FAULT", "an internal fault was switched on", 500)
            await (await _answer_failure(Request(scope), failure))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _internal_error(scope: Scope, receive: Receive, send: Send) -> None:
    body = {"error": {"code": "INTERNAL", "message": "the service failed"}}
    await JSONResponse(body, 500)(scope, receive, send)


def _log_request(scope: Scope, status: int, took_ms: float, error: Exception | None) -> None:
    """One line: FATAL or ERROR with `error_details`, WARN when refused or slow, else INFO."""
    extra: dict[str, object] = {
        "http_method": scope["method"],
        "http_path": scope["path"],
        "http_status": status,
        "response_time_ms": round(took_ms, 3),
    }
    line = f"{scope['method']} {scope['path']} {status}"
    failure: Failure | None = scope.get("vigil.failure")
    if error:
        log.error(f"{line}: {error}", extra=extra, exc_info=error)
    elif failure and failure.level >= logging.ERROR:
        details = {"error_code": failure.code, "error_message": failure.message}
        log.log(failure.level, f"{line}: {failure.message}", extra=extra | {"error_details": details})
    elif failure:
        log.log(failure.level, f"{line}: {failure.message}", extra=extra | {"reason": failure.code})
    elif took_ms > SLOW_MS:
        log.warning(f"{line} was slow", extra=extra | {"threshold_limit_ms": SLOW_MS})
    else:
        log.log(logging.WARNING if status >= 400 else logging.INFO, line, extra=extra)


def serve(name: str, port_of: Callable[[Settings], tuple[int, int]], build: Callable[[Context], FastAPI]) -> None:
    """Runs a service until TERM or INT; ends the process on a start that fails.

    `port_of` gives its HTTP port and the port of its accumulator.
    """
    try:
        _serve(name, port_of, build)
    except VigilError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _serve(name: str, port_of: Callable[[Settings], tuple[int, int]], build: Callable[[Context], FastAPI]) -> None:
    settings = load_settings()
    http_port, accumulator_port = port_of(settings)
    parser = argparse.ArgumentParser(prog=f"python -m microservices.{name}")
    parser.add_argument("--slot", type=int, default=1, help=f"number of this node: {name}-SLOT (default 1)")
    parser.add_argument("--port", type=int, default=http_port, help="HTTP port (default %(default)s)")
    options = parser.parse_args()

    context = Context(name, options.slot, settings)
    app = build(context)
    listener = _listen(settings.bind_host, options.port)
    context.attached = vigil.attach(
        name,
        accumulator_port,
        settings.bind_host,
        node_id=context.node_id,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        alive=context.pulse.alive,
        clock=context.faults.clock,
        access=settings.forward_access,
    )
    # uvicorn raises a TERM again once it has stopped; the default would end the process before its last beat.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    address = f"http://{settings.bind_host}:{options.port}"
    print(f"{context.node_id} at {address}, logs to port {accumulator_port}", file=sys.stderr, flush=True)
    log.info("started", extra={"port": options.port})
    try:
        _uvicorn(app).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn raises an INT again once it has stopped
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        log.info("stopped")
        vigil.detach()


def _uvicorn(app: FastAPI) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=3,  # of the 10 s that a supervisor waits; to detach may take 5
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise Unavailable(f"port {port} on {host} is taken ({error.strerror}); is it running already?") from error
