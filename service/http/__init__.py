"""What every HTTP edge shares: connections, heads, bodies, replies, limits, who may call. No AWS in here."""
