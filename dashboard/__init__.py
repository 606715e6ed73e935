"""The operator's pages: reads through the store's queries and the client, acts through the client.

Conventions, for whoever adds a page:

* A page family is one module ``dashboard/views/<family>.py``, which ends with its own ``urlpatterns``;
  :mod:`dashboard.urls` includes it by one line. Templates lie in ``templates/dashboard/<family>/``, forms in
  ``dashboard/forms/<family>.py``.
* A view is thin: it reads its address, asks the client or the store, hands plain data to a template. What decides how
  something is shown is a pure function in ``dashboard/presenters/``: no request, no database, tested by itself.
* Every view says which permission it needs: ``@allowed(Permission.VIEW)`` (:mod:`dashboard.access`). A test walks all
  addresses for all roles and compares them with its own table, so that a new page cannot forget it.
* A change goes through :func:`dashboard.acting.acting`: it checks the right of the operation, and the audit tells of
  it whether it was done, refused or denied. Changes are POST, and answer with a redirect.
* What moves is a live region: :func:`dashboard.live.live_page` and ``{% live_region %}``. The same address answers
  the whole page, or the region alone when it asks for itself, or 304 when its tag still holds.
* No script, no style and no event handler stands in HTML: the policy that goes with every page forbids it. Pages work
  without JavaScript; ``static/dashboard/js`` only makes them quicker to use.
* Text from outside (ids, names, payloads, errors) goes through the template tags of ``{% load dashboard %}``, which
  escape it, keep its direction to itself and cut what is too long.
"""
