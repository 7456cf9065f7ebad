"""Requests to servers of tests, as httpx makes them.

By itself it reads all certificates anew for each request. That takes more of a processor than a prediction
does, and who waits for a server asks it again and again.
"""

import ssl
from functools import partial

import httpx

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no certificate: servers of tests have none."""

get = partial(httpx.get, verify=_NOBODY)
post = partial(httpx.post, verify=_NOBODY)
put = partial(httpx.put, verify=_NOBODY)
delete = partial(httpx.delete, verify=_NOBODY)
options = partial(httpx.options, verify=_NOBODY)
head = partial(httpx.head, verify=_NOBODY)
request = partial(httpx.request, verify=_NOBODY)
client = partial(httpx.Client, verify=_NOBODY)
