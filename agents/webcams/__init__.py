"""Webcams that front ends share."""

from .agent import WebcamKeeper

__all__ = ["WebcamKeeper"]
