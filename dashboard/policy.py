"""The content security policy that goes with every answer; the setting CONTENT_SECURITY_POLICY says it."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

#: modules of views whose pages carry styles within themselves, and cannot do without
_STYLED = ("django_rq.",)


class PolicyMiddleware(CSPMiddleware):
    """Send the policy, with one exception: django-rq's pages may have styles in their HTML. Scripts never may."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """Return the parts of which the policy is made."""
        parts = super().get_policy_parts(request, response, report_only)
        match = request.resolver_match
        if match is not None and match.func.__module__.startswith(_STYLED):
            parts.update = {**(parts.update or {}), "style-src": [SELF, UNSAFE_INLINE]}
        return parts
