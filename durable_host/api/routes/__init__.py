"""The routes, a file for each kind of request. Each route admits its caller, asks the client, and answers."""

from . import purging, starting, steering, watching
from .shared import router

__all__ = ["purging", "router", "starting", "steering", "watching"]
