"""The activity behind ``ctx.call_http``: the only room that talks to addresses which orchestrations name.

``addresses`` says which hosts and addresses may be reached, ``transport`` connects to a checked address and to no
other, ``exchange`` sends a request and follows its redirects, ``activity`` is what workers register.
"""
