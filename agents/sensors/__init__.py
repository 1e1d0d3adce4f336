"""Sensors whose values come over topics, and what of them is kept with each job."""

from .agent import Sensors

__all__ = ["Sensors"]
