"""What a connection is at, as numbers: they are compared with every request."""

IDLE = 0
"""Nothing of the next request is there."""
HEAD = 1
"""A part of its head is."""
BODY = 2
"""Its head is, and who answers waits for all of its body."""
ANSWER = 3
"""It is being answered."""
REST = 4
"""It was answered, and what is left of its body is read away."""
NEXT = 5
"""More was received, and has to wait for its turn."""
ROUND = 6
"""It is answered with others at the end of the round of the event loop."""
OVER = 7
"""Nothing is read or answered any more."""
