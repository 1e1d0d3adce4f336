"""The section `database` of printer.yaml."""

from bus.agent import Settings


class DatabaseSettings(Settings):
    """What is offered of the database."""

    debug: bool = False  # the methods debug.database.*, which regard no reservation
