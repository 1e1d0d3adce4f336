"""What the broker counted since it started: traffic, and every refusal and cut with its reason."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Totals since start; the first group is traffic, the second what limits and rules did."""

    connects: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    publishes: int = 0
    deliveries: int = 0
    wills: int = 0
    takeovers: int = 0
    rules_changed: int = 0
    store_commits: int = 0

    connections_over_limit: int = 0
    connections_over_address_limit: int = 0
    first_packet_timeouts: int = 0
    silent_cut: int = 0
    keep_alive_timeouts: int = 0
    packets_too_large: int = 0
    protocol_errors: int = 0
    unsupported_versions: int = 0
    logins_refused: int = 0
    client_ids_refused: int = 0
    sessions_refused: int = 0
    inflight_waits: int = 0
    slow_readers_cut: int = 0
    publishes_refused: int = 0
    topics_refused: int = 0
    filters_refused: int = 0
    retained_refused: int = 0
    rules_refused: int = 0
    queue_dropped: int = 0
    inbox_dropped: int = 0
    handler_errors: int = 0
    sessions_expired: int = 0
    store_failures: int = 0
