"""What can be configured about the bridge."""

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork


class BridgeSettings(BaseModel):
    """The defaults serve this machine and nobody else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7125, ge=0, le=65535, description="0 picks a free port.")
    trusted_clients: tuple[IPvAnyNetwork, ...] = Field((), description="Addresses and ranges with full rights.")
    proxies: tuple[IPvAnyNetwork, ...] = Field((), description="Reverse proxies whose forwarding headers are believed.")
    cors_domains: tuple[str, ...] = Field(
        (), description="Origins of other web pages, `*` matches anything; none is off."
    )
    hosts: tuple[str, ...] = Field((), description="More names under which this server is reached.")
    max_websockets: int = Field(500, ge=1, description="Open websockets in total.")
    max_websockets_per_address: int = Field(250, ge=1, description="Open websockets of one address.")
    max_requests: int = Field(10_000, ge=1, description="HTTP requests that wait for an answer; more are refused.")
    unix_socket: bool = Field(True, description="JSON-RPC on comms/moonraker.sock in the data folder, without a login.")
