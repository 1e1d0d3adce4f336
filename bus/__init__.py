"""How things are said: broker, router, event log, what agents are made of, and the command line."""
