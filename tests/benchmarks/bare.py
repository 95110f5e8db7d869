"""The baseline of every HTTP figure: Litestar and uvicorn, with the same loop and parser, and nothing behind them.

python -m tests.benchmarks.bare RECORDED READ answers with what stands in these two files, an answer of the service in
each, so that as many bytes go over the wire.
"""

import socket
import sys
from pathlib import Path

import uvicorn
from litestar import Litestar, Response, get, put
from litestar.params import FromPath

from events.entries import Request
from service.app import BODY_BYTES
from service.cli.serve import Server
from service.errors import UnsupportedMediaType
from service.web.problems import HANDLERS
from service.web.requests import JSON, ApiRequest, decode, header_of

RECORDED, READ = (Path(name).read_bytes() for name in sys.argv[1:3])


@put("/v1/relationships/{rid:str}/requests/{id:str}")
async def record(request: ApiRequest, rid: FromPath[str], id: FromPath[str]) -> Response[bytes]:
    """Decode strictly what the framework reads, and claim to have recorded it."""
    if header_of(request, b"content-type") != JSON:
        raise UnsupportedMediaType
    decode(await request.body(), Request)
    return Response(RECORDED, status_code=201, media_type=JSON)


@get("/v1/relationships/{rid:str}/balances")
async def read(request: ApiRequest, rid: FromPath[str]) -> Response[bytes]:
    """Always the same."""
    return Response(READ, media_type=JSON)


def main() -> None:
    """Serve until told to stop."""
    app = Litestar(
        [record, read],
        openapi_config=None,
        logging_config=None,
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_BYTES,
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
        )
        serving = Server(config, lambda: print(f"It serves on {address}", flush=True), lambda: None)
        serving.run(sockets=[listener])


if __name__ == "__main__":
    main()
