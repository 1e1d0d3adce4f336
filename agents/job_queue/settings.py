"""The section `job_queue` of printer.yaml."""

from pydantic import Field

from bus.agent import Settings


class JobQueueSettings(Settings):
    """When the queue goes on by itself, and what is done between two jobs."""

    load_on_startup: bool = Field(False, description="Whether the next job is loaded when Klipper becomes ready.")
    automatic_transition: bool = Field(False, description="Whether the next job is loaded when one is completed.")
    job_transition_delay: float = Field(0.01, gt=0, description="Seconds between two jobs.")
    job_transition_gcode: str = Field("", description="Run between two jobs, after the delay.")
