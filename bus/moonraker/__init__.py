"""An existing Moonraker installation: reading it, and what becomes of it here (docs/import.md)."""
