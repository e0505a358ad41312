"""Swagger at /docs and Redoc at /redoc, from files that ship with the project: nothing from a CDN.

The scripts are those of the wheel `fastapi-offline`, of which only the static files are used. No
page has an inline script, so the policy allows none.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

from api.auth import public

router = APIRouter(include_in_schema=False)

WHEEL_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
START_SWAGGER = """\
window.ui = SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", deepLinking: true, persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", validatorUrl: null
});
"""
START_REDOC = """\
Redoc.init("/openapi.json", {hideHostname: true, disableSearch: false},
  document.getElementById("docs"));
"""
SCRIPTS = {"start-swagger.js": START_SWAGGER, "start-redoc.js": START_REDOC}
PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>VibeStream API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/docs/assets/favicon.png">{style}</head>
<body><div id="docs"></div>
<script src="/docs/assets/{library}"></script><script src="/docs/assets/{start}"></script>
</body></html>
"""
# Both libraries write style elements at run time and draw icons from data URLs; Redoc searches in a
# worker made from a blob.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CACHE = {"cache-control": "public, max-age=86400"}


def _wheel_folder() -> Path:
    spec = find_spec("fastapi_offline")  # found, not imported: its code is not wanted
    assert spec is not None, "fastapi-offline is in the lock"
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


def _page(library: str, start: str, style: str = "") -> HTMLResponse:
    html = PAGE.format(library=library, start=start, style=style)
    return HTMLResponse(html, headers={"content-security-policy": POLICY})


@router.get("/docs")
@public
async def swagger() -> HTMLResponse:
    """Try the API out."""
    style = '<link rel="stylesheet" href="/docs/assets/swagger-ui.css">'
    return _page("swagger-ui-bundle.js", "start-swagger.js", style)


@router.get("/redoc")
@public
async def redoc() -> HTMLResponse:
    """Read the API."""
    return _page("redoc.standalone.js", "start-redoc.js")


@router.get("/docs/assets/{name}")
@public
async def asset(name: str) -> Response:
    """One of the files behind the two pages."""
    if name in SCRIPTS:
        return Response(SCRIPTS[name], media_type="text/javascript", headers=CACHE)
    if name not in WHEEL_FILES:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(_wheel_folder() / name, media_type=WHEEL_FILES[name], headers=CACHE)
