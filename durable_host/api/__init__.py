"""The HTTP management API: Durable Functions' routes and payloads, so that its clients work unchanged.

A request goes through these files in this order: :mod:`.mounts` (whose dialect it speaks), :mod:`.routes` (what it asks
for), :mod:`.guard` (whether it may: :mod:`.callers`, :mod:`.rates`, the audit), the DurableClient, :mod:`.responses`.
Whatever is raised on the way becomes JSON in :mod:`.errors`.
"""
