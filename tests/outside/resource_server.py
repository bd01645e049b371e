"""A resource server as the official Python SDK makes one: required scopes, tokens verified by JWKS, for this URL alone.

Takes the issuer, the port and the scope. Prints one JSON line for each token that it accepted, and no token.
"""

import asyncio
import json
import sys

import jwt
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings

issuer, port, scope = sys.argv[1], int(sys.argv[2]), sys.argv[3]
url = f"http://127.0.0.1:{port}/mcp"


class Verifier(TokenVerifier):
    def __init__(self) -> None:
        self.keys = jwt.PyJWKClient(f"{issuer}/jwks")

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            key = await asyncio.to_thread(self.keys.get_signing_key_from_jwt, token)
            claims = jwt.decode(token, key.key, algorithms=["ES256"], audience=url, issuer=issuer)
        except jwt.PyJWTError:
            return None
        seen = {name: claims.get(name) for name in ("sub", "aud", "scope", "act")}
        print(json.dumps({"seen": seen}), flush=True)
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims.get("scope", "").split(),
            expires_at=claims["exp"],
            resource=url,
            subject=claims["sub"],
            claims=claims,
        )


auth = AuthSettings(issuer_url=issuer, resource_server_url=url, required_scopes=[scope])
try:
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("notes", token_verifier=Verifier(), auth=auth)
except ImportError:
    from mcp.server.fastmcp import FastMCP

    server = FastMCP("notes", token_verifier=Verifier(), auth=auth, host="127.0.0.1", port=port)


@server.tool()
def list_notes() -> str:
    """Lists the notes of the person that the token names."""
    token = get_access_token()
    return f"notes of {token.subject if token else 'nobody'}"


async def main() -> None:
    running = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="error"))
    serving = asyncio.create_task(running.serve())
    while not running.started and not serving.done():
        await asyncio.sleep(0.02)
    print(json.dumps({"listening": url}), flush=True)
    await serving


asyncio.run(main())
