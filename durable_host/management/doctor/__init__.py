"""``manage.py durable doctor``: looks at everything that can keep orchestrations from going on, and says what to do.

One file for each place where trouble can be. Each looks, and tells what it found as :class:`~.findings.Finding`.
"""
